"""Checks that the model in memory equals the checkpoint's files.

Before loading or downloading, transformers' own loader, with its renaming, runs on tensors without
content, from the names and shapes in the files (`foreseen`). After loading, the loader's report
(`check_keys`) and the values (`check_values`) are checked.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sae_audit.errors import AuditError
from sae_audit.subject.checkpoint.headers import Shapes, opened
from sae_audit.untrusted import shown

_HARMLESS = re.compile(
    r"rotary_emb\.inv_freq$"  # a buffer of old Llama files, computed in newer versions
    r"|\.attn\.(masked_)?bias$|\.attention\.(masked_)?bias$"  # causal masks of GPT-2 and GPT-NeoX
    r"|(^|\.)position_ids$"
    r"|(^|[._])(mtp|nextn)[._]"  # heads that predict further tokens, unused by any score
)
"""Pattern of tensors in published files that the architecture computes itself, or never uses."""
_OTHER_SENSES = re.compile(
    r"^(model\.)?(vision|visual|audio|image|video|speech|multi_modal|multimodal|mm_|embed_vision"
    r"|embed_audio|aligner|perceiver|resampler|vit)"
)
"""Pattern of the parts of a multimodal checkpoint that text does not pass through."""
_QUANTIZED = re.compile(
    r"(scales?|scale_inv|zeros|g_idx|absmax|quant_map|quant_state\.\w+|nested_\w+|bias)$"
)
"""Pattern of the additional tensors of quantised formats, with the empty biases of GPTQ."""
_CLASSIFIER = re.compile(r"pooler|^cls\.|^lm_head|(^|\.)predictions\.")
"""Pattern of tensors that a classifier keeps, unused, from the language model it was trained from."""
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Report of a loader on its tensors."""

    missing: tuple[str, ...]
    """In the model but not in the files: initialised at random."""
    unexpected: tuple[str, ...]
    """In the files but not in the model: ignored."""
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    """Name, shape in the files, shape in the model."""

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "Keys":
        """The report from transformers' `output_loading_info`."""
        return cls(
            missing=tuple(sorted(said["missing_keys"], key=_in_order)),
            unexpected=tuple(sorted(said["unexpected_keys"], key=_in_order)),
            mismatched=tuple(
                (name, tuple(held), tuple(needed))
                for name, held, needed in sorted(
                    said["mismatched_keys"], key=lambda one: _in_order(one[0])
                )
            ),
        )


def foreseen(kind: Any, config: Any, shapes: Shapes) -> Keys | None:
    """The loader's report for files with these tensors and the model class `kind`, without weights.

    None if unknown: a quantised checkpoint's modules are made by its own library, and some model classes
    need real tensors.
    """
    if getattr(config, "quantization_config", None) is not None:
        return None
    state = {name: torch.empty(tuple(shape), device="meta") for name, shape in shapes.items()}
    try:
        _, said = kind.from_pretrained(
            None,
            config=config,
            state_dict=state,
            device_map={"": "meta"},
            dtype=torch.float32,
            attn_implementation="eager",
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except Exception:
        # A failure ends only this rehearsal: the loading itself is checked again.
        return None
    return Keys.of(said)


def check_keys(keys: Keys, shapes: Shapes, config: Any, where: str, *, head: str = "") -> None:
    """Check that every tensor of the model comes from the files, and every file tensor is used.

    `config` is the whole checkpoint's, `where` names it; `head` is a judge's replacement of the language
    model's head.

    Raises:
        AuditError: A tensor is missing, has another shape, or has no place in the model.
    """
    if keys.missing:
        raise AuditError(_missing(keys, shapes, where, head))
    if keys.mismatched:
        name, held, needed = keys.mismatched[0]
        raise AuditError(
            f"{where} holds {shown(name)} as {list(held)}, but its config.json makes it "
            f"{list(needed)} ({_n(len(keys.mismatched), 'tensor')} of another shape); correct "
            "config.json, or get the checkpoint again."
        )
    left = [name for name in keys.unexpected if not _is_harmless(name, shapes, config, head)]
    if left:
        raise AuditError(
            f"{where} holds {shown(left[0])}, for which the model of its config.json has no place "
            f"({_n(len(left), 'tensor')} would be left out{_layers(left, config)}); correct "
            "config.json, or get the checkpoint again."
        )


def _missing(keys: Keys, shapes: Shapes, where: str, head: str) -> str:
    first, n = keys.missing[0], len(keys.missing)
    lacks = (
        f"{where} lacks {shown(first)} ({_n(n, 'tensor')} of the model of its config.json "
        f"{'is' if n == 1 else 'are'} not in its files), which would be drawn at random"
    )
    prefix = _prefix(keys)
    if prefix:
        return (
            f"{lacks}; they are there with {shown(prefix)!r} before their names, as in the "
            "text part of a larger checkpoint: give that checkpoint, or save this part with "
            "save_pretrained(...)."
        )
    if head:
        return f"{lacks}; give a checkpoint that was trained as {head}."
    if first.endswith("lm_head.weight") and n == 1 and keys.unexpected:
        return (
            f"{lacks}; they hold {shown(keys.unexpected[0])}, as a model with another head does: give "
            "the language model that it was made from."
        )
    if first.endswith("lm_head.weight") and n == 1 and any("embed" in name for name in shapes):
        return f"{lacks}; set tie_word_embeddings to true if the head is the embedding's."
    return f"{lacks}; get the checkpoint again, or correct config.json."


def _prefix(keys: Keys) -> str:
    """The prefix of all missing tensors' names in the files; empty if there is none."""
    first = keys.missing[0]
    held = set(keys.unexpected)
    for name in keys.unexpected:
        prefix = name.removesuffix(first)
        if prefix not in ("", name) and all(prefix + other in held for other in keys.missing):
            return prefix
    return ""


def _is_harmless(name: str, shapes: Shapes, config: Any, head: str) -> bool:
    if _HARMLESS.search(name):
        # A projection's bias has one dimension; a mask has four, or none.
        return not name.endswith("bias") or len(shapes.get(name, (1,))) != 1
    if _OTHER_SENSES.search(name) and config.get_text_config() is not config:
        return True
    if head and _CLASSIFIER.search(name):
        return True
    is_quantized = getattr(config, "quantization_config", None) is not None
    return is_quantized and bool(_QUANTIZED.search(name))


def _layers(left: Sequence[str], config: Any) -> str:
    n_layers = getattr(config.get_text_config(), "num_hidden_layers", 0)
    found = [int(match[1]) for name in left if (match := _LAYER.search(name))]
    if not found or max(found) < n_layers:
        return ""
    return f": the files have layers up to {max(found)}, num_hidden_layers is {n_layers}"


def check_values(network: Any, files: Sequence[Path], where: str) -> None:
    """Check that memory holds the files' own values.

    Compares the first and last rows of every tensor with the same name in both; if the architecture
    converts tensors on loading, only those of embeddings and head. Tensors that accelerate keeps on disk
    are skipped.

    Raises:
        AuditError: A tensor differs from the file's.
    """
    held = network.state_dict()
    converted = bool(getattr(network, "_weight_conversions", None))
    for file in files:
        with opened(file) as stream:
            for name in stream.keys():  # noqa: SIM118  a reader, no dictionary
                if converted and not re.search(r"(embed_tokens|lm_head|wte)\.weight$", name):
                    continue
                memory = held.get(name)
                if memory is None or memory.is_meta or not memory.is_floating_point():
                    continue
                part = stream.get_slice(name)
                if tuple(part.get_shape()) != tuple(memory.shape):
                    continue  # packed by a library of quantised weights
                if not all(_same(*both) for both in _ends(part, memory)):
                    raise AuditError(
                        f"{where} holds other values of {shown(name)} than the model in memory; "
                        "another file in the folder was read in its place: leave only the "
                        "checkpoint's own files there."
                    )


def _ends(part: Any, memory: torch.Tensor) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    if memory.dim() == 0:
        yield part[...], memory
        return
    yield part[:_ROWS], memory[:_ROWS]
    yield part[-_ROWS:] if memory.shape[0] > _ROWS else part[:_ROWS], memory[-_ROWS:]


_ROWS = 4


def _same(file: torch.Tensor, memory: torch.Tensor) -> bool:
    return torch.allclose(file.to(memory.dtype), memory.cpu(), rtol=0.0, atol=0.0, equal_nan=True)


def check_finite(network: Any, files: Sequence[Path], where: str, dtype: str) -> None:
    """Check that every weight is finite.

    Raises:
        AuditError: A weight is not finite, in the files or in the dtype of loading.
    """
    held = network.state_dict()
    broken = [name for name, value in held.items() if not _is_finite(value)]
    for file in files:
        with opened(file) as stream:
            for name in stream.keys():  # noqa: SIM118  a reader, no dictionary
                if name in held and held[name].is_meta and not _is_finite(stream.get_tensor(name)):
                    broken.append(name)  # accelerate reads it from disk at each use
                if broken and name == broken[0] and _is_finite(stream.get_tensor(name)):
                    raise AuditError(
                        f"{where} has weights in {shown(name)} that {dtype} cannot hold "
                        f"({_n(len(broken), 'tensor')}); load it with --dtype float32."
                    )
    if not broken:
        return
    raise AuditError(
        f"{where} holds weights that are no numbers (NaN or infinite) in {shown(broken[0])} "
        f"({_n(len(broken), 'tensor')}); get it again, or save it anew from a sound checkpoint."
    )


def _is_finite(value: torch.Tensor) -> bool:
    if value.is_meta or not value.is_floating_point() or value.numel() == 0:
        return True
    if value.dtype.itemsize == 1:
        value = value.float()  # types of 8 bits have no arithmetic of their own
    # Needs no copy of the weights: the extremes are NaN if any value is.
    return all(bool(torch.isfinite(one)) for one in torch.aminmax(value.detach()))


def _n(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count:,} {what}s"


def _in_order(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts layer 2 before layer 10."""
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)
    ]
