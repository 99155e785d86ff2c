"""Load a checkpoint with its SAE suite, and reject mismatches before anything runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from sae_audit.bundled import named_file
from sae_audit.catalog import read_catalog
from sae_audit.config import ReadoutSettings
from sae_audit.prompts.types import Prompt
from sae_audit.subject.checkpoint.checkpoint import Checkpoint, ModelOptions
from sae_audit.subject.checkpoint.made_for import NamedBase
from sae_audit.subject.checkpoint.small_files import check_vocabulary
from sae_audit.subject.instrument import Subject
from sae_audit.subject.listening import heard_refusal_tokens
from sae_audit.subject.model.architecture import refuse_architecture
from sae_audit.subject.model.budget import Budget
from sae_audit.subject.model.devices import check_device_map, usable_device
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.identity import Identity, MadeFor
from sae_audit.subject.model.layer_modules import layer_modules
from sae_audit.subject.model.precision import Precision
from sae_audit.subject.model.structure import check_structure
from sae_audit.subject.readout import (
    REFUSAL_TOKENS,
    Readout,
    RefusalReadout,
    is_heard,
    readout_of,
)
from sae_audit.subject.saes.files import SaeConfig, fetch_sae
from sae_audit.subject.saes.places import SaePlace, sae_places
from sae_audit.subject.saes.sae import Sae
from sae_audit.subject.saes.suite import check_suite, checked_configs, load_suite, matrix_bytes
from sae_audit.subject.template.chat import Template, chat_template

_TWO_TEXTS = ("Tell me how to bake a loaf of bread.", "What is the capital of France?")
_TRIED_TOKENS = 10
"""Tokens kept before the template's closing ones in the prompts of the check at loading."""


def load_subject(
    model: str,
    saes: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    options: ModelOptions | None = None,
    layers: Iterable[int] | None = None,
    sae_dtype: str = "auto",
    sae_memory: Literal["auto", "device", "host"] = "auto",
    sae_l0: str | float | None = None,
    catalog: str | Path | None = None,
    readout: ReadoutSettings = REFUSAL_TOKENS,
    refusal_tokens: Sequence[str] | None = None,
    harmful: Sequence[Prompt] = (),
    harmless: Sequence[Prompt] = (),
    chat_template_file: str | None = None,
    template_options: Mapping[str, Any] | None = None,
    system_prompt: str | None = None,
    answer_prefix: str | None = None,
    tokens_per_batch: int | None = None,
) -> Subject:
    """A model with its SAEs, ready for questions.

    `model` is a folder, `bundled:...` or a hub id; `saes` anything that `sae_places` accepts. Files not
    in the hub's cache are downloaded, small ones first, so that all checks without weights come before
    the weights. Refusal tokens are those given, else the family's, else those found in the model's
    answers to `harmful` that do not open its answers to `harmless`; in languages other than English
    those found, else the usual ones. Without any, questions about the refusal score raise an error.
    `answer_prefix` begins every answer, before a score is read. `dtype` overrides that of `options`.

    Raises:
        AuditError: a folder or repository is missing or unreadable; an SAE does not fit the model;
            adapter or SAEs were made for other weights, which the options do not accept; the tokenizer
            has no chat template; refusals begin as other answers do.
    """
    checkpoint = Checkpoint(model, replace(options or ModelOptions(), dtype=dtype))
    refuse_architecture(checkpoint.config)
    text = checkpoint.text_config
    chosen_device = usable_device(device)
    check_device_map(checkpoint.options.device_map)
    tokenizer = checkpoint.tokenizer()
    template = chat_template(
        tokenizer,
        template_file=named_file(str(chat_template_file)) if chat_template_file else None,
        system_prompt=system_prompt,
        options=template_options or {},
        answer_prefix=answer_prefix,
    )
    template = template.fitted(text)
    known = readout_of(
        readout,
        tokenizer,
        text,
        refusal_tokens=refusal_tokens,
        languages={prompt.language for prompt in harmful},
    )
    places = sae_places(saes, catalog=read_catalog(catalog), layers=layers, l0=sae_l0)
    n_layers, d_model = text.num_hidden_layers, text.hidden_size
    configs = checked_configs(places, n_layers=n_layers, d_model=d_model)
    for place in places:
        fetch_sae(place)  # a repository that refuses does so before the model is read
    made_for = _made_for(checkpoint, places, configs)
    beside = sum(matrix_bytes(one, sae_dtype) for one in configs.values())
    precision = checkpoint.precision(chosen_device, beside_bytes=beside)
    network = checkpoint.network(chosen_device, precision.dtype)
    decoder_layers_of = layer_modules(network)
    suite = load_suite(
        places,
        configs,
        n_layers=n_layers,
        d_model=d_model,
        devices={place.layer: _device_of(decoder_layers_of[place.layer].layer) for place in places},
        dtype=sae_dtype,
        memory=sae_memory,
    )
    subject = _assembled(
        _identity(checkpoint, network, precision, made_for),
        network,
        template,
        suite,
        known,
        tokens_per_batch,
    )
    n_rows = min(network.get_input_embeddings().weight.shape[0], text.vocab_size)
    needed = {"the chat template": (*template.before_ids, *template.after_ids)}
    for token in known.tokens if known is not None else ():
        role = f"a token that {token.role}"
        needed[role] = (*needed.get(role, ()), token.id)
    check_vocabulary(tokenizer, n_rows, str(checkpoint.place), needed)
    if harmful and is_heard(readout, refusal_tokens):
        heard = heard_refusal_tokens(subject, text, harmful, harmless, threshold=readout.threshold)
        subject.readout = RefusalReadout(refusal_tokens=heard, threshold=readout.threshold)
    return subject


def subject_of(
    network: Any,
    tokenizer: Any,
    suite: dict[int, Sae],
    *,
    readout: ReadoutSettings = REFUSAL_TOKENS,
    refusal_tokens: Sequence[str] | None = None,
    system_prompt: str | None = None,
    tokens_per_batch: int | None = None,
) -> Subject:
    """A subject from a model, a tokenizer and SAEs already in memory.

    The model keeps its device and weights, but its parameters take no gradients from here on.

    Raises:
        AuditError: an SAE does not fit the model, the tokenizer has no chat template, or the
            model's layout is unknown.
    """
    config = network.config.get_text_config()
    check_suite(suite, n_layers=config.num_hidden_layers, d_model=config.hidden_size)
    template = chat_template(tokenizer, template_file=None, system_prompt=system_prompt)
    identity = Identity(
        id=network.config.name_or_path or "in memory",
        revision="",
        sha256="",
        architecture=type(network).__name__,
        dtype=str(network.dtype).removeprefix("torch."),
        device=str(network.device),
    )
    known = readout_of(readout, tokenizer, config, refusal_tokens=refusal_tokens)
    return _assembled(identity, network, template, suite, known, tokens_per_batch)


def _assembled(
    identity: Identity,
    network: Any,
    template: Template,
    suite: dict[int, Sae],
    readout: Readout | None,
    tokens_per_batch: int | None,
) -> Subject:
    network.requires_grad_(requires_grad=False)
    modules = layer_modules(network)
    check_structure(network, modules, *_two_prompts(template, network.device))
    return Subject(
        identity=identity,
        passes=ForwardPasses(network, modules, Budget.of(network, tokens_per_batch)),
        template=template,
        suite=suite,
        readout=readout,
        d_model=network.config.get_text_config().hidden_size,
    )


def _two_prompts(template: Template, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids of two texts in the template, cut at the start if they are long.

    The texts are English, or words of the vocabulary if the tokenizer lacks the English ones.
    """
    kept = template.n_after + _TRIED_TOKENS
    for texts in (_TWO_TEXTS, _of_own_words(template.tokenizer)):
        one, other = (template.tokens(text).to(device) for text in texts)
        ends = list(zip(one[-kept:].flip(0), other[-kept:].flip(0), strict=False))
        if any(a != b for a, b in ends):
            return one[-kept:], other[-kept:]
    return one, other


def _of_own_words(tokenizer: Any) -> tuple[str, str]:
    words = sorted(word for word in tokenizer.get_vocab() if word.isalpha() and len(word) > 2)
    return " ".join(words[:8]), " ".join(words[-8:])


def _device_of(layer: torch.nn.Module) -> str:
    # A layer that accelerate offloads (to host memory or disk) runs on its hook's device.
    at = getattr(getattr(layer, "_hf_hook", None), "execution_device", None)
    return str(torch.device(at)) if at is not None else str(next(layer.parameters()).device)


def _made_for(
    checkpoint: Checkpoint, places: Sequence[SaePlace], configs: Mapping[int, SaeConfig]
) -> tuple[MadeFor, ...]:
    """The weights that adapter and SAEs name as those they were made for, SAEs of one base together."""
    found: list[MadeFor] = []
    own = checkpoint.is_adapters_base()
    if own is not None:
        assert checkpoint.adapter is not None, "asked of an adapter"
        assert checkpoint.adapter.base is not None, "which names a base"
        found.append(_of_base(checkpoint.adapter.base, (), is_own=own))
    layers: dict[tuple[NamedBase, bool], list[int]] = {}
    for place in places:
        base = configs[place.layer].base
        if base is not None:
            is_own = checkpoint.is_base(base, f"The SAE {place}")
            layers.setdefault((base, is_own), []).append(place.layer)
    of_saes = [_of_base(base, tuple(own), is_own=is_own) for (base, is_own), own in layers.items()]
    return (*found, *of_saes)


def _of_base(base: NamedBase, layers: tuple[int, ...], *, is_own: bool) -> MadeFor:
    return MadeFor(layers=layers, sha256=base.sha256, name=base.name, is_own=is_own)


def _identity(
    checkpoint: Checkpoint, network: Any, precision: Precision, made_for: tuple[MadeFor, ...]
) -> Identity:
    options, held = checkpoint.options, checkpoint.place.held
    with_adapter = f" + {options.adapter}" if options.adapter else ""
    return Identity(
        id=checkpoint.name + with_adapter,
        revision=held.commit if held is not None else "",
        sha256=checkpoint.sha256,
        architecture=type(network).__name__,
        dtype=options.quantization or str(network.dtype).removeprefix("torch."),
        device=str(network.device),
        adapter_revision=checkpoint.adapter.commit if checkpoint.adapter else "",
        dtype_reason="asked for" if options.quantization else precision.reason,
        settings_sha256=checkpoint.settings_sha256,
        quantised_from=checkpoint.gguf.quantised_from if checkpoint.gguf else "",
        adapter_scale=options.adapter_scale if checkpoint.adapter else None,
        adapter_merged=options.adapter_merged if checkpoint.adapter else None,
        made_for=made_for,
    )
