"""Checks of the model without its weights: kind, chat template, and tokens of the readout."""

from dataclasses import replace
from typing import Any

from sae_audit.bundled import named_file
from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.pipeline.inputs import model_options
from sae_audit.planning.bases import adapters_base
from sae_audit.planning.checks import Check, attempted, failure, unknown
from sae_audit.planning.tensors import tensors_of
from sae_audit.subject.checkpoint.checkpoint import Checkpoint
from sae_audit.subject.checkpoint.small_files import ADAPTER_CONFIG, check_vocabulary
from sae_audit.subject.listening import check_no_open_thoughts
from sae_audit.subject.model.architecture import architecture_obstacle
from sae_audit.subject.readout import RefusalReadout, is_heard, readout_of
from sae_audit.subject.template.chat import Template, chat_template
from sae_audit.untrusted import read_json, shown


def opened_model(config: AuditConfig) -> Checkpoint | AuditError:
    """The config and small files, downloaded if needed; the adapter is checked separately."""
    options = replace(model_options(config), adapter=None)
    return attempted(lambda: Checkpoint(config.model, options))


def check_model(model: Checkpoint | AuditError) -> list[Check]:
    """Whether it is a supported decoder."""
    if isinstance(model, AuditError):
        return [failure("model", model)]
    text = model.text_config
    shape = f"{text.num_hidden_layers} layers, {text.hidden_size} dimensions"
    found = f"{model.name}: {text.model_type}, {shape}"
    if model.gguf is not None:
        found += f", {model.gguf.quantised_from}"
    obstacle = architecture_obstacle(model.config)
    if obstacle:
        remedy = "Name a decoder-only language model such as Gemma-2 or Llama."
        return [Check(name="model", status="failed", found=f"{found}; {obstacle}", remedy=remedy)]
    for check in (model.check_builds, model.check_reader):
        sound = attempted(check)
        if isinstance(sound, AuditError):
            return [failure("model", sound)]
    return [Check(name="model", status="ok", found=found)]


def check_weights(model: Checkpoint) -> list[Check]:
    """Whether the files hold all of the model's tensors and no others, by their headers."""
    name = "weights"
    if model.gguf is not None:
        counted = f"{len(model.gguf.header.tensors):,} tensors, all within the file"
        return [Check(name=name, status="ok", found=counted)]
    found = attempted(lambda: tensors_of(model))
    if isinstance(found, AuditError):
        return [failure(name, found)]
    if isinstance(found, str):
        return [unknown(name, found)]
    whole = attempted(lambda: model.check_headers(found.shapes))
    if isinstance(whole, AuditError):
        return [failure(name, whole)]
    counted = f"{len(found.shapes):,} tensors"
    if not whole:
        return [unknown(name, f"whether its {counted} are all shows when they are loaded")]
    return [Check(name=name, status="ok", found=f"{counted}, all that the model needs")]


def check_adapter(config: AuditConfig) -> list[Check]:
    """Whether an adapter is complete, fits the model, by names and shapes of its tensors, and was made
    for it."""
    if config.adapter is None:
        return []
    opened = attempted(lambda: Checkpoint(config.model, model_options(config)))
    if isinstance(opened, AuditError):
        return [failure("adapter", opened)]
    whole = attempted(opened.check_adapter_headers)
    if isinstance(whole, AuditError):
        return [failure("adapter", whole)]
    of_base = attempted(lambda: adapters_base(opened))
    if isinstance(of_base, AuditError):
        return [failure("adapter", of_base)]
    noted = [Check(name="adapter", status="note", found=of_base)] if of_base else []
    if not whole:
        return [unknown("adapter", "whether it is whole shows when it is loaded"), *noted]
    assert opened.adapter is not None
    with opened.adapter.headers() as folder:
        base = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    found = f"{config.adapter} is whole"
    if isinstance(base, str) and base and base.rstrip("/") != config.model.rstrip("/"):
        found += f"; it says that it was trained on {shown(base)}"
        return [Check(name="adapter", status="note", found=found), *noted]
    return [Check(name="adapter", status="ok", found=found), *noted]


def check_words(config: AuditConfig, model: Checkpoint) -> list[Check]:
    """Chat template and readout, from the tokenizer."""
    tokenizer = attempted(model.tokenizer)
    if isinstance(tokenizer, AuditError):
        reason = "it needs the tokenizer"
        return [
            failure("tokenizer", tokenizer),
            unknown("chat template", reason),
            unknown(readout_name(config), reason),
        ]
    return [
        *_vocabulary(tokenizer, model),
        _template(config, tokenizer),
        _readout(config, tokenizer, model.text_config),
    ]


def _vocabulary(tokenizer: Any, model: Checkpoint) -> list[Check]:
    """A failure if the tokenizer has words without an embedding."""
    n_rows = model.text_config.vocab_size
    fits = attempted(lambda: check_vocabulary(tokenizer, n_rows, str(model.place)))
    return [failure("tokenizer", fits)] if isinstance(fits, AuditError) else []


def _template(config: AuditConfig, tokenizer: Any) -> Check:
    name = "chat template"
    template = attempted(
        lambda: chat_template(
            tokenizer,
            template_file=named_file(config.chat_template) if config.chat_template else None,
            system_prompt=config.system_prompt,
            options=config.template_options,
            answer_prefix=config.answer_prefix,
        )
    )
    if isinstance(template, AuditError):
        return failure(name, template)
    thoughts = attempted(lambda: check_no_open_thoughts(template))
    if isinstance(thoughts, AuditError) and is_heard(config.readout, config.refusal_tokens):
        return failure(name, thoughts)
    n = template.n_after
    found = f"renders, with {n} token{'s' if n > 1 else ''} of its own after the user's text"
    n_bos = attempted(lambda: _n_bos(template))
    if isinstance(n_bos, AuditError):
        return failure(name, n_bos)
    if n_bos > 1:
        return Check(
            name=name,
            status="warning",
            found=f"{found}; it begins with {n_bos} BOS tokens",
            remedy="Give a template that writes the BOS token once (--chat-template FILE).",
        )
    if template.notes:
        return Check(name=name, status="note", found=f"{found}. {' '.join(template.notes)}")
    return Check(name=name, status="ok", found=found)


def _n_bos(template: Template) -> int:
    """Number of BOS tokens at the start of a rendered prompt."""
    bos = template.tokenizer.bos_token_id
    ids = template.tokens("hello").tolist()
    return next((n for n, i in enumerate(ids) if i != bos), len(ids))


def readout_name(config: AuditConfig) -> str:
    """Name of the readout's check: `refusal tokens`."""
    return config.readout.kind.replace("_", " ")


def _readout(config: AuditConfig, tokenizer: Any, text_config: Any) -> Check:
    name = readout_name(config)
    readout = attempted(
        lambda: readout_of(
            config.readout, tokenizer, text_config, refusal_tokens=config.refusal_tokens
        )
    )
    if isinstance(readout, AuditError):
        others = is_heard(config.readout, None)
        advice = "Name others with --set refusal_tokens=[...]." if others else None
        return failure(name, readout, advice)
    if readout is None:
        found = "none are known of this family; they will be found in the model's own refusals"
        return Check(name=name, status="note", found=found)
    if isinstance(readout, RefusalReadout):
        named = ", ".join(repr(token.text) for token in readout.tokens)
        return Check(name=name, status="ok", found=f"{named} ({readout.refusal_tokens.source})")
    named = ", ".join(f"{token.text!r} ({token.role})" for token in readout.tokens)
    return Check(name=name, status="ok", found=named)
