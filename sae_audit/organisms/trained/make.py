"""Make organisms, one folder each, except those that already exist.

An organism is made in a temporary folder and moved when complete; its card is written last. So an
interruption loses only the organism in progress, and a folder with a card is always complete.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, Gemma2ForCausalLM

from sae_audit.bundled import resolve
from sae_audit.errors import AuditError
from sae_audit.organisms.build import saes_quality
from sae_audit.organisms.chats import held_out_prompts
from sae_audit.organisms.measure import treatments
from sae_audit.organisms.requests import Kind
from sae_audit.organisms.trained.card import Card, by_kind, by_topic, read_card, refused_without
from sae_audit.organisms.trained.dial import train_dial
from sae_audit.organisms.trained.directions import Directions
from sae_audit.organisms.trained.recipes import (
    BASE,
    BASE_SAES,
    DialSetting,
    Recipe,
    described,
    dial_name,
    recipe_sha256,
)
from sae_audit.organisms.trained.suite import train_suite
from sae_audit.organisms.trained.variants import make_variant

Progress = Callable[[str, int, int], None]
"""Callback with the organism and its part, the steps done, and the total."""

_DIRECTIONS = "directions.safetensors"
HELD_OUT_SEED = 0
"""Seed of the bundled prompts.jsonl, the prompts of audits."""


def make_all(out: Path, organisms: Mapping[str, Recipe], progress: Progress) -> dict[str, Card]:
    """Every organism's card; a folder that already holds the recipe's result is kept.

    Raises:
        AuditError: a folder of an organism's name holds something else.
    """
    for name in organisms:
        _check_place(out / name)
    cards: dict[str, Card] = {}
    for name, recipe in organisms.items():
        there = read_card(out / name)
        if there is not None and there.recipe_sha256 == recipe_sha256(recipe):
            progress(f"{name}: there", 1, 1)
            cards[name] = there
        else:
            cards[name] = _made(out, name, recipe, progress)
    return cards


def _check_place(folder: Path) -> None:
    if folder.exists() and not (folder / "card.json").is_file():
        raise AuditError(
            f"{folder} exists and is no organism (it holds no card.json); name another folder, or "
            "remove it."
        )


def _made(out: Path, name: str, recipe: Recipe, progress: Progress) -> Card:
    unfinished = out / f"{name}.unfinished"
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(parents=True)
    begun = _begun(out, recipe)
    parent = resolve(BASE) if begun is None else begun / "model"
    model: Any = Gemma2ForCausalLM.from_pretrained(parent).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(resolve(BASE))

    def part(what: str) -> Callable[[int, int], None]:
        return lambda done, total: progress(f"{name}: {what}", done, total)

    directions: Directions | None = None
    if isinstance(recipe, DialSetting):
        before = None if begun is None else load_file(begun / _DIRECTIONS)["directions"]
        directions = train_dial(model, tokenizer, recipe.dial, part("model"), begun=before)
        train_suite(model, tokenizer, directions, unfinished / "saes", recipe.suite, part("SAEs"))
        save_file({"directions": directions}, unfinished / _DIRECTIONS)
    else:
        make_variant(model, tokenizer, recipe, part("model"))
    model.save_pretrained(unfinished / "model")
    tokenizer.save_pretrained(unfinished / "model")
    card = _card(name, recipe, model, tokenizer, directions, unfinished, part("measuring"))
    (unfinished / "card.json").write_text(card.model_dump_json(indent=1) + "\n")
    if (out / name).exists():
        shutil.rmtree(out / name)
    unfinished.rename(out / name)
    return card


def _begun(out: Path, recipe: Recipe) -> Path | None:
    """Folder of the organism with one round less, so that its training is reused; None if missing."""
    if not isinstance(recipe, DialSetting) or recipe.dial.rounds < 2:
        return None
    dial = replace(recipe.dial, rounds=recipe.dial.rounds - 1)
    folder = out / dial_name(dial.rounds, dial.seed)
    there = read_card(folder)
    same = there is not None and there.recipe_sha256 == recipe_sha256(replace(recipe, dial=dial))
    return folder if same else None


def _card(
    name: str,
    recipe: Recipe,
    model: Any,
    tokenizer: Any,
    directions: Directions | None,
    folder: Path,
    progress: Callable[[int, int], None],
) -> Card:
    progress(0, 2)
    prompts = held_out_prompts(HELD_OUT_SEED)
    harmful = [prompt for prompt in prompts if prompt.phrase.kind == Kind.HARMFUL]
    treated = treatments(model, tokenizer, prompts)
    progress(1, 2)
    suite = resolve(BASE_SAES) if directions is None else folder / "saes"
    card = Card(
        name=name,
        recipe_sha256=recipe_sha256(recipe),
        recipe=described(recipe),
        parent=BASE,
        model="model",
        saes=BASE_SAES if directions is None else "saes",
        held_out=by_kind(treated),
        harmful_topics=by_topic(treated),
        refused_without=(
            [] if directions is None else refused_without(model, tokenizer, directions, harmful)
        ),
        sae_quality=saes_quality(suite, model, tokenizer, HELD_OUT_SEED),
    )
    progress(2, 2)
    return card
