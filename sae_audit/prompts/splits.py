"""Seeded, disjoint splits."""

from collections.abc import Sequence

import numpy as np

from sae_audit.config import PromptSettings
from sae_audit.errors import AuditError
from sae_audit.prompts.types import Label, LabelledPrompts, Prompt, Splits, folded


def split_prompts(prompts: Sequence[Prompt], settings: PromptSettings, seed: int) -> Splits:
    """Draw train, validation and audit prompts; no text is in two of them.

    The draw depends on prompts and seed alone, never on the model, so that two checkpoints are
    audited on the same prompts and compare pair by pair.

    Raises:
        AuditError: a label has too few distinct prompts for the sizes asked for.
    """
    sizes = {"train": settings.train, "validation": settings.validation, "audit": settings.audit}
    drawn = {label: _draw(prompts, label, sizes, seed) for label in Label}
    splits = {
        name: LabelledPrompts(
            harmful=drawn[Label.HARMFUL][name], harmless=drawn[Label.HARMLESS][name]
        )
        for name in sizes
    }
    return Splits(**splits)


def _draw(
    prompts: Sequence[Prompt], label: Label, sizes: dict[str, int], seed: int
) -> dict[str, tuple[Prompt, ...]]:
    distinct = {folded(prompt.text): prompt for prompt in prompts if prompt.label == label}
    # Sorted by id first: the order of files and lines must not decide who is audited.
    pool = sorted(distinct.values(), key=lambda prompt: prompt.id)
    needed = sum(sizes.values())
    if len(pool) < needed:
        wanted = ", ".join(f"prompts.{name}={size}" for name, size in sizes.items())
        raise AuditError(
            f"{len(pool)} distinct {label.value} prompts, but {needed} are needed ({wanted}); add "
            "prompts, or ask for fewer with --set prompts.train=N --set prompts.validation=N --set "
            "prompts.audit=N."
        )
    order = np.random.default_rng([seed, len(pool)]).permutation(len(pool))
    shuffled = [pool[i] for i in order]
    split: dict[str, tuple[Prompt, ...]] = {}
    start = 0
    for name, size in sizes.items():
        split[name] = tuple(shuffled[start : start + size])
        start += size
    return split
