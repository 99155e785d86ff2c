"""Make the SAEs, one folder a layer, except those that are there."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from sae_audit.errors import AuditError
from sae_audit.organisms.smollm2.adapters import tuned_by
from sae_audit.organisms.smollm2.base import Base, load_base
from sae_audit.organisms.smollm2.chats import Chat, own_words, refused
from sae_audit.organisms.smollm2.general_text import general_text
from sae_audit.organisms.smollm2.make import Progress, read_card
from sae_audit.organisms.smollm2.mixing import held_back
from sae_audit.organisms.smollm2.requests import Kind
from sae_audit.organisms.smollm2.saes import Suite, pool, save, train_sae

_REFUSALS = 600
"""Refused chats among the texts of SAEs."""


def make_saes(out: Path, suite: Suite, progress: Progress) -> list[Path]:
    """The folders of the suite's SAEs, one a layer, trained on activations of the base and of `safe`.

    Raises:
        AuditError: the adapter `safe` is not made yet; the base is not installed.
    """
    if read_card(out / "safe") is None:
        raise AuditError(
            f"{out} holds no adapter safe, whose activations SAEs are trained on; make it first."
        )
    folder = out / suite_name(suite)
    folders = [folder / f"layer_{layer}" for layer in suite.layers]
    if all(one.is_dir() for one in folders):
        return folders
    base = load_base()
    own = own_words(base, out, 0, progress)
    tuned = tuned_by(base, out / "safe")
    read = pool(
        base, tuned, sae_texts(base, own), suite, lambda n, of: progress("activations", n, of)
    )
    for i, (layer, place) in enumerate(zip(suite.layers, folders, strict=True)):
        progress("SAEs", i, len(folders))
        if not place.is_dir():
            unfinished = place.with_suffix(".unfinished")
            save(train_sae(read[layer], layer, suite, base.sha256), unfinished)
            unfinished.rename(place)
    progress("SAEs", len(folders), len(folders))
    return folders


def suite_name(suite: Suite) -> str:
    return "saes" if suite.seed == 0 else f"saes-{suite.seed}"


def sae_texts(base: Base, own: Sequence[Chat]) -> list[str]:
    """Whole chats, refused and answered, and documentation; of held-out requests none."""
    kept = held_back(own)
    refusals = islice(refused(0, frozenset({Kind.HARMFUL, Kind.BEYOND})), _REFUSALS)
    chats = [*(one for one in own if one not in kept), *refusals]
    return [*(base.rendered(one.turn) + one.answer for one in chats), *general_text()]
