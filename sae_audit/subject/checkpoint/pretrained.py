"""transformers' reading of a checkpoint's files, with each failure as one sentence."""

import copy
import logging
import warnings
from pathlib import Path
from typing import Any, Literal

import torch

from sae_audit.errors import AuditError
from sae_audit.untrusted import shown

Quantization = Literal["8bit", "4bit"]
Head = Literal["AutoModelForCausalLM", "AutoModelForSequenceClassification"]

_SEES = "AutoModelForImageTextToText"
"""Auto class of models that also see images; their language model is loaded as part of them."""


def from_pretrained(kind: str, folder: Path, where: str, *, trusted: bool, **arguments: Any) -> Any:
    """The object that transformers' class `kind` makes of the folder's files, offline.

    Raises:
        AuditError: It fails; `where` names the checkpoint.
    """
    import transformers

    quiet()
    what = {"AutoTokenizer": "tokenizer", "AutoConfig": "config"}.get(kind, "model")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(transformers, kind).from_pretrained(
                folder, local_files_only=True, trust_remote_code=trusted, **arguments
            )
    except (AuditError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        # Readers of about a hundred formats raise arbitrary exceptions for an invalid file.
        if "trust_remote_code" in str(error) and not trusted:
            raise AuditError(
                f"The {what} of {where} needs code that comes with it; read that code, and if "
                "you trust it, give --trust-remote-code."
            ) from error
        if what == "tokenizer":
            raise AuditError(broken_tokenizer(where, error)) from error
        raise AuditError(
            f"transformers cannot load the {what} in {where}: {_reason(error)}; get its files again."
        ) from error


def built(made: Any, config: Any, where: str, attention: str | None) -> Any:
    """The model of class `made` for this config, without content or memory.

    `attention` is the requested implementation; None means the config's.

    Raises:
        AuditError: The model cannot be built.
    """
    quiet()
    own = copy.deepcopy(config)
    chosen = {} if attention is None else {"attn_implementation": attention}
    try:
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")
            return made._from_config(own, **chosen)
    except Exception as error:
        # About a hundred architectures compute with whatever numbers the file holds.
        if isinstance(error, ImportError) and attention is None:
            raise AuditError(
                f"The config of {where} asks for an attention that is not there: {_reason(error)}; "
                "give --set attn_implementation=sdpa."
            ) from error
        reason = f"there is no {error}" if isinstance(error, KeyError) else _reason(error)
        raise AuditError(
            f"transformers cannot make the model that the config of {where} describes: {reason}; "
            "correct config.json, or get it again."
        ) from error


def check_quantizer(config: Any, where: str) -> None:
    """Check that the library for these quantised weights is installed, and runs here.

    Raises:
        AuditError: It is missing, or transformers does not know it.
    """
    from transformers.quantizers.auto import AutoHfQuantizer

    quiet()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader = AutoHfQuantizer.from_config(config.quantization_config, pre_quantized=True)
            reader.validate_environment(device_map=None)
    except Exception as error:
        # Each library reports missing parts differently.
        raise AuditError(
            f"The weights of {where} are quantised, and cannot be read here: {_reason(error)}."
        ) from error


def broken_tokenizer(where: str, error: Exception) -> str:
    return f"The tokenizer in {where} is broken: {_reason(error)}; get its files again."


def quiet() -> None:
    """Silence progress bars, and warnings about what is checked here."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)


def model_class(config: Any, head: Head) -> tuple[str, Any, Any] | None:
    """Name of the auto class that loads this config, the model's class, and the config it takes.

    None if transformers has no such model with this head.
    """
    import transformers
    from transformers.models.auto import auto_factory

    for name in (head, _SEES) if head == "AutoModelForCausalLM" else (head,):
        mapping = getattr(transformers, name)._model_mapping
        if type(config) in mapping:
            made: Any = auto_factory._get_model_class(config, mapping)
            text = getattr(config, "sub_configs", {}).get("text_config")
            is_text = text is not None and getattr(made, "config_class", None) is text
            return name, made, config.get_text_config() if is_text else config
    return None


def quantized(quantization: Quantization) -> Any:
    """transformers' settings for quantised loading.

    Raises:
        AuditError: The library for it is missing.
    """
    from importlib.util import find_spec

    if find_spec("bitsandbytes") is None:
        raise AuditError(
            "Loading in 8 or 4 bits needs bitsandbytes; install it with pip install "
            "'sae-audit[quantized]', or leave quantization out."
        )
    from transformers import BitsAndBytesConfig

    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16)


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = shown(" ".join(lines[:2]) or "no reason given")
    if isinstance(error, KeyError):
        return f"one of its files lacks {said}"
    # A single word means nothing without the exception's type.
    return said if " " in said else f"{type(error).__name__} {said}"
