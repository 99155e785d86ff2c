"""Seeded splits that share no prompt and no near-duplicates."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from sae_audit.config import PromptSettings
from sae_audit.errors import AuditError
from sae_audit.prompts.near_duplicates import n_left_out, near_duplicates
from sae_audit.prompts.selection import selected
from sae_audit.prompts.types import CONTRASTED, Label, LabelledPrompts, Prompt, Splits


def split_prompts(prompts: Sequence[Prompt], settings: PromptSettings, seed: int) -> Splits:
    """Disjoint train, validation and audit prompts, also free of near-duplicates across splits; and
    safe look-alikes beside the audit prompts, as many as there are up to the limit.

    The draw depends on prompts, settings and seed alone, so that two checkpoints are audited on the same
    prompts and compared pair by pair. All sources of a label form one pool; a large source needs a limit
    in its options.

    Raises:
        AuditError: A label has too few distinct prompts for the sizes, or no prompt has a requested
            category or language.
    """
    sizes = {"train": settings.train, "validation": settings.validation, "audit": settings.audit}
    chosen = selected(prompts, settings)
    repeats = near_duplicates(chosen)
    distinct = [prompt for prompt in chosen if prompt.id not in repeats]
    left_out = n_left_out(chosen, repeats)
    drawn = {label: _draw(distinct, label, sizes, seed, left_out[label]) for label in CONTRASTED}
    splits = {
        name: LabelledPrompts(
            harmful=drawn[Label.HARMFUL][name], harmless=drawn[Label.HARMLESS][name]
        )
        for name in sizes
    }
    lookalikes = _shuffled(distinct, Label.LOOKALIKE, seed)[: settings.most_lookalikes]
    return Splits(**splits, lookalikes=tuple(lookalikes), near_duplicates=left_out)


def most_audit_prompts(prompts: Sequence[Prompt], settings: PromptSettings) -> int:
    """Largest number of audit prompts of each label that leaves enough for the other two splits."""
    distinct = _distinct(prompts, settings)
    most = min(distinct[label] for label in CONTRASTED)
    return most - settings.train - settings.validation


def n_lookalikes(prompts: Sequence[Prompt], settings: PromptSettings) -> int:
    """Number of distinct look-alikes, scored or not."""
    return _distinct(prompts, settings)[Label.LOOKALIKE]


def _distinct(prompts: Sequence[Prompt], settings: PromptSettings) -> Counter[Label]:
    chosen = selected(prompts, settings)
    repeats = near_duplicates(chosen)
    return Counter(prompt.label for prompt in chosen if prompt.id not in repeats)


def _draw(
    prompts: Sequence[Prompt], label: Label, sizes: dict[str, int], seed: int, n_repeats: int
) -> dict[str, tuple[Prompt, ...]]:
    shuffled = _shuffled(prompts, label, seed)
    needed = sum(sizes.values())
    if len(shuffled) < needed:
        wanted = ", ".join(f"prompts.{name}={size}" for name, size in sizes.items())
        beside = f"; {n_repeats} more nearly repeat one of them" if n_repeats else ""
        n_alike = sum(prompt.label == Label.LOOKALIKE for prompt in prompts)
        if label is Label.HARMLESS and n_alike:
            beside += f"; {n_alike} safe look-alikes are not counted as such"
        raise AuditError(
            f"{len(shuffled)} distinct {label.value} prompts, but {needed} are needed ({wanted})"
            f"{beside}; add prompts, or ask for fewer with --set prompts.train=N --set "
            "prompts.validation=N --set prompts.audit=N."
        )
    split: dict[str, tuple[Prompt, ...]] = {}
    start = 0
    for name, size in sizes.items():
        split[name] = tuple(shuffled[start : start + size])
        start += size
    return split


def _shuffled(prompts: Sequence[Prompt], label: Label, seed: int) -> list[Prompt]:
    """The prompts of a label in seeded order."""
    # Sorted by id first: the order of files and lines must not affect the draw.
    pool = sorted((p for p in prompts if p.label == label), key=lambda prompt: prompt.id)
    return [pool[i] for i in np.random.default_rng([seed, len(pool)]).permutation(len(pool))]
