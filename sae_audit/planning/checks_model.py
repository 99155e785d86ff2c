"""The model without its weights: its kind, its chat template, its refusal tokens."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.pipeline.opening import model_options
from sae_audit.planning.checks import Check, attempted, failure, unknown
from sae_audit.subject.chat import Template, chat_template
from sae_audit.subject.checkpoint import Checkpoint, repository_of
from sae_audit.subject.listening import check_no_open_thoughts
from sae_audit.subject.refusal_tokens import family_refusal_tokens, given_refusal_tokens

_KNOWN = {
    "gemma",
    "gemma2",
    "gemma3_text",
    "glm",
    "glm4",
    "llama",
    "ministral",
    "mistral",
    "olmo",
    "olmo2",
    "olmo3",
    "phi3",
    "qwen2",
    "qwen3",
    "smollm3",
    "stablelm",
    "starcoder2",
}
"""Kinds (`model_type`) whose layers, run one by one, were seen to give the model's own logits."""


def opened_model(config: AuditConfig) -> Checkpoint | AuditError:
    """Config and small files; of a repository they are downloaded. Its adapter is looked at apart."""
    options = replace(model_options(config), adapter=None)
    return attempted(lambda: Checkpoint(config.model, options))


def check_model(model: Checkpoint | AuditError) -> list[Check]:
    """Whether it is a decoder that an audit can take apart."""
    if isinstance(model, AuditError):
        return [failure("model", model)]
    text = model.text_config
    shape = f"{text.num_hidden_layers} layers, {text.hidden_size} dimensions"
    found = f"{model.name}: {text.model_type}, {shape}"
    if model.gguf is not None:
        found += f", {model.gguf.quantised_from}"
    if getattr(text, "is_encoder_decoder", False):
        remedy = "Name a decoder-only language model such as Gemma-2 or Llama."
        found += "; an encoder-decoder, which an audit does not read"
        return [Check(name="model", status="failed", found=found, remedy=remedy)]
    if text.model_type not in _KNOWN:
        return [
            Check(
                name="model",
                status="unknown",
                found=f"{found}; a kind not tried before, whose layers are checked when it is loaded",
            )
        ]
    return [Check(name="model", status="ok", found=found)]


def check_adapter(config: AuditConfig) -> list[Check]:
    """Whether an adapter on this machine is whole; one on the hub is told with its files."""
    adapter = config.adapter
    if adapter is None or repository_of(adapter, None, "adapter") is not None:
        return []
    folder = attempted(lambda: Checkpoint(config.model, model_options(config)).adapter_folder)
    if isinstance(folder, AuditError):
        return [failure("adapter", folder, "Name a folder that PEFT's save_pretrained wrote.")]
    return [Check(name="adapter", status="ok", found=f"{adapter} is whole")]


def check_words(config: AuditConfig, model: Checkpoint) -> list[Check]:
    """Chat template and refusal tokens, from the tokenizer."""
    tokenizer = attempted(model.tokenizer)
    if isinstance(tokenizer, AuditError):
        reason = "it needs the tokenizer"
        return [
            failure("tokenizer", tokenizer),
            unknown("chat template", reason),
            unknown("refusal tokens", reason),
        ]
    return [_template(config, tokenizer), _refusal_tokens(config, tokenizer, model.text_config)]


def _template(config: AuditConfig, tokenizer: Any) -> Check:
    name = "chat template"
    template = attempted(
        lambda: chat_template(
            tokenizer,
            template_file=Path(config.chat_template) if config.chat_template else None,
            system_prompt=config.system_prompt,
            options=config.template_options,
            answer_prefix=config.answer_prefix,
        )
    )
    if isinstance(template, AuditError):
        return failure(name, template)
    thoughts = attempted(lambda: check_no_open_thoughts(template))
    if isinstance(thoughts, AuditError) and not config.refusal_tokens:
        return failure(name, thoughts)
    n = template.n_after
    found = f"renders, with {n} token{'s' if n > 1 else ''} of its own after the user's text"
    if _n_bos(template) > 1:
        return Check(
            name=name,
            status="warning",
            found=f"{found}; it begins with {_n_bos(template)} BOS tokens",
            remedy="Give a template that writes the BOS token once (--chat-template FILE).",
        )
    if template.notes:
        return Check(name=name, status="note", found=f"{found}. {' '.join(template.notes)}")
    return Check(name=name, status="ok", found=found)


def _n_bos(template: Template) -> int:
    """How many BOS tokens a rendered prompt begins with."""
    bos = template.tokenizer.bos_token_id
    ids = template.tokens("hello").tolist()
    return next((n for n, i in enumerate(ids) if i != bos), len(ids))


def _refusal_tokens(config: AuditConfig, tokenizer: Any, text_config: Any) -> Check:
    name = "refusal tokens"
    if config.refusal_tokens:
        given = config.refusal_tokens
        tokens = attempted(lambda: given_refusal_tokens(tokenizer, given))
    else:
        tokens = attempted(lambda: family_refusal_tokens(tokenizer, text_config))
    if isinstance(tokens, AuditError):
        return failure(name, tokens, "Name others with --set refusal_tokens=[...].")
    if tokens is None:
        found = "none are known of this family; they will be found in the model's own refusals"
        return Check(name=name, status="note", found=found)
    named = ", ".join(map(repr, tokens.texts))
    return Check(name=name, status="ok", found=f"{named} ({tokens.source})")
