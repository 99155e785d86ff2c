"""A PEFT adapter on a model: applied by PEFT itself, and checked to act as PEFT says."""

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from sae_audit.errors import AuditError
from sae_audit.subject.checkpoint.adapter_merging import check_mergeable, merge
from sae_audit.subject.checkpoint.adapter_scale import check_scalable, rescale
from sae_audit.subject.checkpoint.headers import shapes_of
from sae_audit.subject.checkpoint.loaded import check_finite
from sae_audit.subject.checkpoint.small_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from sae_audit.untrusted import read_json, shown

_PROBES = 24
"""Tokens of the prompt on which the model with and without the adapter is compared."""
_SHARED = ("vblora_vector_bank", ".tinylora_v.", ".unilora_theta_d.")
"""Name parts of tensors that a file holds once for all layers; PEFT wrongly reports them as missing."""


def adapter_config(folder: Path, where: str) -> dict[str, Any]:
    """The contents of `adapter_config.json`.

    Raises:
        AuditError: It is not an adapter's config, or the adapter acts outside the decoder's layers.
    """
    from peft import PeftType
    from peft.config import PromptLearningConfig
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    found = read_json(folder / ADAPTER_CONFIG)
    kind = found.get("peft_type") if isinstance(found, dict) else None
    if not isinstance(kind, str) or kind not in {known.value for known in PeftType}:
        raise AuditError(
            f"{where} has no peft_type that PEFT knows in its {ADAPTER_CONFIG} "
            f"({shown(repr(kind), 60)}); save the adapter with PEFT's save_pretrained(...)."
        )
    made = PEFT_TYPE_TO_CONFIG_MAPPING.get(PeftType(kind))
    if made is None or issubclass(made, PromptLearningConfig):
        raise AuditError(
            f"{where} is a {kind} adapter, which adds positions to the prompt in place of changing "
            "layers; an audit reads adapters that change layers, such as LoRA."
        )
    if found.get("megatron_config") is not None:
        raise AuditError(
            f"{where} has megatron_config in its {ADAPTER_CONFIG}, which has another library make its "
            "layers; remove it from the file."
        )
    if found.get("layer_replication") is not None:
        raise AuditError(
            f"{where} has layer_replication, which makes a model of other layers than its base's, and "
            "SAEs are its base's; an audit reads adapters that leave the layers where they are."
        )
    if kind == "POLY":
        raise AuditError(
            f"{where} is a POLY adapter, which has to be told the task of each prompt; an audit reads "
            "adapters that act on every prompt alike, such as LoRA."
        )
    if found.get("alora_invocation_tokens") is not None:
        raise AuditError(
            f"{where} acts only behind its alora_invocation_tokens, which an audit's prompts do not "
            "hold; an audit reads adapters that act on every token."
        )
    return found


def with_adapter(
    network: Any,
    folder: Path,
    where: str,
    model: str,
    scale: float = 1.0,
    *,
    merged: bool = False,
) -> Any:
    """The given model with the adapter active in its layers, its change times `scale`.

    Unless `merged` it acts beside the weights, to whose dtype merging rounds it. PEFT exchanges modules
    inside the model. All but `scale` is checked at the adapter's own strength: one that changes nothing
    there is refused, and one that changes nothing because `scale` is 0 is not.

    Raises:
        AuditError: The adapter does not fit, lacks tensors or has unused ones, changes nothing, acts
            outside the model's own pass, has no strength that could be changed, or cannot be merged.
    """
    config = adapter_config(folder, where)
    if "disk" in set((getattr(network, "hf_device_map", None) or {}).values()):
        # PEFT would write a copy of the weights into the working directory.
        raise AuditError(
            f"The adapter {where} cannot be laid on parts of {model} that device_map keeps on a disk; "
            "keep them in memory, or merge the adapter into the weights first."
        )
    ids = _probe(network, config)
    with torch.no_grad():
        before = network(input_ids=ids).logits
    device = str(network.device) if network.device.type != "meta" else "cpu"
    try:
        tuned, said = _laid_on(network, folder, device)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        # PEFT's forty or so kinds of adapter raise arbitrary exceptions for a file that does not fit.
        raise _misfit(error, where, model) from error
    _check_keys(tuned, said, folder, where, model)
    check_scalable(tuned, config["peft_type"], where, scale)
    if merged:
        check_mergeable(tuned, config["peft_type"], where)
    check_finite(tuned, [], f"The adapter {where}", str(network.dtype))
    base = tuned.get_base_model().eval()
    theirs, ours = _asked(tuned, base, ids, where, model)
    if not (bool(torch.isfinite(theirs).all()) and bool(torch.isfinite(ours).all())):
        raise AuditError(
            f"With the adapter {where}, logits of {model} are no numbers: its tensors are too large for "
            f"{str(network.dtype).removeprefix('torch.')}; load it with --dtype float32, or save the "
            "adapter again."
        )
    if not torch.allclose(theirs, ours, rtol=0.0, atol=1e-4 * max(1.0, float(ours.abs().max()))):
        raise AuditError(
            f"The adapter {where} acts outside of the model's layers ({config['peft_type']}), where an "
            "audit does not see it; merge it into the weights and audit the result."
        )
    if torch.equal(ours, before):
        raise AuditError(
            f"The adapter {where} changes nothing: logits with it are those of {model} (untrained, or "
            "all its tensors zero?); leave --adapter out, or give the trained one."
        )
    if scale != 1.0:
        rescale(base, scale, lambda: base(input_ids=ids).logits, without=before, where=where)
    if merged:
        return merge(tuned, lambda one: one(input_ids=ids).logits, without=before, where=where)
    return base


def check_adapter(
    make: Callable[[], Any], folder: Path, where: str, model: str, scale: float = 1.0
) -> bool:
    """Check the adapter's tensors against a model without weights.

    False if only a model with weights can show it: some kinds of adapters compute with them.

    Raises:
        AuditError: A tensor has no place in the model, another shape, or is missing; or the adapter has
            no strength that could be changed.
    """
    config = adapter_config(folder, where)
    try:
        with torch.device("meta"):
            network = make()
        tuned, said = _laid_on(network, folder, "cpu")
    except Exception as error:
        is_misfit = _is_lacking(error) or any(
            words in str(error) for words in ("size mismatch", "not found in the base model")
        )
        if is_misfit:
            raise _misfit(error, where, model) from error
        return False
    _check_keys(tuned, said, folder, where, model)
    check_scalable(tuned, config["peft_type"], where, scale)
    return True


def _laid_on(network: Any, folder: Path, device: str) -> tuple[Any, Any]:
    """PEFT's model around this one, and PEFT's report on the loaded tensors."""
    from peft import PeftConfig, PeftModel

    class Telling(PeftModel):
        """Keeps the result of `load_adapter`, which `from_pretrained` shows only in part."""

        said: Any

        def load_adapter(self, *args: Any, **options: Any) -> Any:
            self.said = super().load_adapter(*args, **options)
            return self.said

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = PeftConfig.from_pretrained(str(folder))
        config.task_type = None  # else PEFT replaces this class by its own for the task
        tuned: Any = Telling.from_pretrained(
            network, str(folder), config=config, torch_device=device, **_placed(network)
        )
    return tuned, tuned.said


def _placed(network: Any) -> dict[str, Any]:
    """The device of each module, so that PEFT keeps offloaded parts in host memory.

    By default it would distribute the model again over all devices.
    """
    placed = getattr(network, "hf_device_map", None)
    if not placed or not {"cpu", "disk"} & set(placed.values()):
        return {}
    return {
        "device_map": {
            f"base_model.model.{name}" if name else "": at for name, at in placed.items()
        }
    }


def _asked(
    tuned: Any, base: Any, ids: torch.Tensor, where: str, model: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of PEFT's model, and of the model alone with the adapter inside."""
    try:
        with torch.no_grad():
            return tuned(input_ids=ids).logits, base(input_ids=ids).logits
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        # Some kinds need more input than a prompt, and each reports it differently.
        raise AuditError(
            f"{model} with the adapter {where} cannot be run on a prompt alone "
            f"({shown(_reason(error))}); merge it into the weights and audit the result."
        ) from error


def _is_lacking(error: Exception) -> bool:
    """Whether PEFT failed because a tensor is missing from the file."""
    return isinstance(error, KeyError) and str(error).strip("'\"").startswith("base_model.")


def _misfit(error: Exception, where: str, model: str) -> AuditError:
    if _is_lacking(error):
        return AuditError(
            f"The adapter {where} lacks {shown(error.args[0])}, which its config lays on {model}; give "
            "the adapter's own base model, or save the adapter again."
        )
    return AuditError(
        f"The adapter {where} does not fit {model}: {shown(_reason(error))}; give the adapter's own "
        "base model, or save the adapter again."
    )


def _check_keys(tuned: Any, said: Any, folder: Path, where: str, model: str) -> None:
    from peft import get_peft_model_state_dict

    held = shapes_of([folder / ADAPTER_WEIGHTS])
    saved = get_peft_model_state_dict(tuned, save_embedding_layers=False)
    biases = {name for name in saved if name.endswith(".bias")}
    missing = [name for name in said.missing_keys if not any(one in name for one in _SHARED)]
    missing += sorted(biases - set(held)) if biases & set(held) else []
    unexpected = list(said.unexpected_keys)
    for names, what in ((unexpected, "holds"), (missing, "lacks")):
        if names:
            raise AuditError(
                f"The adapter {where} {what} {shown(names[0])} ({_counted(names)}), "
                + (
                    f"for which {model} has no place"
                    if what == "holds"
                    else f"which its config lays on {model}"
                )
                + "; give the adapter's own base model, or save the adapter again."
            )


def _counted(names: Iterable[str]) -> str:
    n = len(list(names))
    return "1 tensor" if n == 1 else f"{n:,} tensors"


def _probe(network: Any, config: dict[str, Any]) -> torch.Tensor:
    """Token ids spread over the vocabulary, including those that the adapter trains."""
    n = network.get_input_embeddings().weight.shape[0]
    spread = torch.linspace(0, n - 1, min(_PROBES, n)).long().tolist()
    trained = config.get("trainable_token_indices", config.get("token_indices"))
    groups = list(trained.values()) if isinstance(trained, dict) else [trained]
    own = [i for group in groups if isinstance(group, list) for i in group]
    own = [i for i in own if isinstance(i, int) and 0 <= i < n]
    device = network.device if network.device.type != "meta" else torch.device("cpu")
    return torch.tensor([[*own[:_PROBES], *spread]], device=device)


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])}" if lines else type(error).__name__
