"""Making organisms, one folder each, skipping those that a folder already holds.

An organism is made beside its place and moved there whole; its card is written last. So an
interruption loses the one in the making, and a folder with a card is never half an organism.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoTokenizer, Gemma2ForCausalLM

from sae_audit.bundled import resolve
from sae_audit.errors import AuditError
from sae_audit.organisms.build import saes_quality
from sae_audit.organisms.chats import held_out_prompts
from sae_audit.organisms.measure import treatments
from sae_audit.organisms.requests import Kind
from sae_audit.organisms.trained.card import Card, by_kind, by_topic, read_card, refused_without
from sae_audit.organisms.trained.dial import Trained, train_dial
from sae_audit.organisms.trained.recipes import (
    BASE,
    BASE_SAES,
    DialSetting,
    Recipe,
    described,
    recipe_sha256,
)
from sae_audit.organisms.trained.routes import Routes
from sae_audit.organisms.trained.suite import train_suite
from sae_audit.organisms.trained.variants import make_variant

Progress = Callable[[str, int, int], None]
"""Called with the organism and its part, steps done, and steps in all."""

_HELD_OUT_SEED = 0
"""Of the bundled prompts.jsonl: the prompts that audits ask."""


def make_all(out: Path, organisms: Mapping[str, Recipe], progress: Progress) -> dict[str, Card]:
    """Every organism's card; those whose folder holds the recipe's result are left as they are.

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
    model: Any = Gemma2ForCausalLM.from_pretrained(resolve(BASE)).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(resolve(BASE))

    def part(what: str) -> Callable[[int, int], None]:
        return lambda done, total: progress(f"{name}: {what}", done, total)

    routes: Routes | None = None
    if isinstance(recipe, DialSetting):
        trained = train_dial(model, tokenizer, recipe.dial, part("model"))
        train_suite(model, tokenizer, trained, unfinished / "saes", recipe.suite, part("SAEs"))
        routes = trained.routes
        save_file(_tensors(trained), unfinished / "routes.safetensors")
    else:
        make_variant(model, tokenizer, recipe, part("model"))
    model.save_pretrained(unfinished / "model")
    tokenizer.save_pretrained(unfinished / "model")
    card = _card(name, recipe, model, tokenizer, routes, unfinished, part("measuring"))
    (unfinished / "card.json").write_text(card.model_dump_json(indent=1) + "\n")
    if (out / name).exists():
        shutil.rmtree(out / name)
    unfinished.rename(out / name)
    return card


def _tensors(trained: Trained) -> dict[str, Tensor]:
    routes = trained.routes
    tensors = {
        "directions": routes.directions,
        "duals": routes.duals,
        "scale": routes.scale,
        "found": trained.found,
    }
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _card(
    name: str,
    recipe: Recipe,
    model: Any,
    tokenizer: Any,
    routes: Routes | None,
    folder: Path,
    progress: Callable[[int, int], None],
) -> Card:
    progress(0, 2)
    prompts = held_out_prompts(_HELD_OUT_SEED)
    harmful = [prompt for prompt in prompts if prompt.phrase.kind == Kind.HARMFUL]
    treated = treatments(model, tokenizer, prompts)
    progress(1, 2)
    suite = resolve(BASE_SAES) if routes is None else folder / "saes"
    card = Card(
        name=name,
        recipe_sha256=recipe_sha256(recipe),
        recipe=described(recipe),
        parent=BASE,
        model="model",
        saes=BASE_SAES if routes is None else "saes",
        held_out=by_kind(treated),
        harmful_topics=by_topic(treated),
        refused_without=(
            [] if routes is None else refused_without(model, tokenizer, routes, harmful)
        ),
        sae_quality=saes_quality(suite, model, tokenizer, _HELD_OUT_SEED),
    )
    progress(2, 2)
    return card
