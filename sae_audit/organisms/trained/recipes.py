"""Recipes of all organisms by name, and their hashes, which identify existing folders."""

import hashlib
import json
from dataclasses import asdict, dataclass

from sae_audit.bundled import resolve
from sae_audit.errors import AuditError
from sae_audit.hashing import sha256_of_files
from sae_audit.organisms.chats import texts
from sae_audit.organisms.trained.dial import Dial
from sae_audit.organisms.trained.suite import Suite
from sae_audit.organisms.trained.variants import VARIANTS, Variant

BASE = "bundled:organism/base"
BASE_SAES = "bundled:organism/saes"

DIAL_ROUNDS = range(4)

_VERSION = 2
"""Version number of the recipes' code; raised if a recipe's result changes."""


@dataclass(frozen=True, kw_only=True)
class DialSetting:
    """A setting of the dial with an SAE suite of its own."""

    dial: Dial
    suite: Suite


Recipe = DialSetting | Variant


def recipes(seeds: int = 1) -> dict[str, Recipe]:
    """All recipes by name, the dial first, with each of its settings once per seed."""
    dial: dict[str, Recipe] = {
        dial_name(rounds, seed): DialSetting(dial=Dial(rounds=rounds, seed=seed), suite=Suite())
        for seed in range(seeds)
        for rounds in DIAL_ROUNDS
        # Without a round there is no training, so seeds give equal models.
        if rounds > 0 or seed == 0
    }
    return dial | VARIANTS


def dial_name(rounds: int, seed: int) -> str:
    return f"dial_{rounds}" if seed == 0 or rounds == 0 else f"dial_{rounds}_seed_{seed}"


def chosen(names: list[str], seeds: int = 1) -> dict[str, Recipe]:
    """The recipes of these names; all if none is given.

    Raises:
        AuditError: a name is unknown.
    """
    known = recipes(seeds)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise AuditError(f"No organism {unknown[0]!r}; there are {', '.join(known)}.")
    return {name: known[name] for name in known if not names or name in names}


def described(recipe: Recipe) -> dict[str, object]:
    return {"kind": type(recipe).__name__, **asdict(recipe)}


def recipe_sha256(recipe: Recipe) -> str:
    """Hash of the recipe, the base checkpoint and every possible training text."""
    digest = hashlib.sha256()
    base = sorted(resolve(BASE).glob("*"))
    parts = [_VERSION, described(recipe), sha256_of_files(base), texts()]
    digest.update(json.dumps(parts, sort_keys=True).encode())
    return digest.hexdigest()
