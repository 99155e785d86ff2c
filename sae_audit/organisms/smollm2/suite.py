"""Make the SAEs, one folder a layer, except those that are there."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import torch

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
MADE_BY = "made_by.sha256"


def make_saes(out: Path, suite: Suite, progress: Progress, device: str = "cpu") -> list[Path]:
    """The folders of the suite's SAEs, one a layer.

    They are trained on activations of the base and, if the suite says so, of `safe`.

    Raises:
        AuditError: the adapter `safe` is not made yet; the base is not installed; the device is missing;
            the folder holds something else.
    """
    card = read_card(out / "safe")
    if card is None:
        raise AuditError(
            f"{out} holds no adapter safe, whose activations SAEs are trained on; make it first."
        )
    folder = out / suite_name(suite)
    folders = [folder / f"layer_{layer}" for layer in suite.layers]
    _keep_those_of(folder, _made_by(suite, card.recipe_sha256))
    if all(one.is_dir() for one in folders):
        return folders
    base = load_base(device)
    own = own_words(base, out, 0, progress)
    # Activations are kept in bfloat16, in which some processors compute several times as fast.
    tuned = tuned_by(replace(base, network=base.network.to(torch.bfloat16)), out / "safe")
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


def _made_by(suite: Suite, adapter_sha256: str) -> str:
    """Hash of all that an SAE is made from, but for its layer."""
    settings = {name: value for name, value in asdict(suite).items() if name != "layers"}
    if not suite.base_alone:
        del settings["base_alone"]  # written before there was this choice
    parts = [settings, adapter_sha256, _REFUSALS]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _keep_those_of(folder: Path, made_by: str) -> None:
    """Remove SAEs of other settings or of another adapter, and note what those to come are made from."""
    note = folder / MADE_BY
    if note.is_file() and note.read_text().strip() == made_by:
        return
    if folder.exists() and not note.is_file():
        raise AuditError(
            f"{folder} exists and holds no {MADE_BY}; name another folder, or remove it."
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    note.write_text(made_by + "\n")


def suite_name(suite: Suite) -> str:
    of_base = "-base" if suite.base_alone else ""
    return f"saes{of_base}" if suite.seed == 0 else f"saes{of_base}-{suite.seed}"


def sae_texts(base: Base, own: Sequence[Chat]) -> list[str]:
    """Whole chats, refused and answered, and documentation; of held-out requests none."""
    kept = held_back(own)
    refusals = islice(refused(0, frozenset({Kind.HARMFUL, Kind.BEYOND})), _REFUSALS)
    chats = [*(one for one in own if one not in kept), *refusals]
    return [*(base.rendered(one.turn) + one.answer for one in chats), *general_text()]
