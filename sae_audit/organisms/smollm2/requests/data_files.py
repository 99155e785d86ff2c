"""The YAML files beside the code, and the grids in them."""

import re
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import yaml

_CHOICE = re.compile(r"\(([^()]*)\)")


@cache
def table(name: str) -> Any:
    """The content of a data file, by its name without ending."""
    return yaml.safe_load((Path(__file__).parent / "data" / f"{name}.yaml").read_text("utf-8"))


def expanded(grid: str) -> list[str]:
    """Every text that a grid stands for: "(bake|slice) (bread|cake)" stands for four."""
    parts = _CHOICE.split(grid)
    # Splitting leaves the fixed parts at even places, the choices between them.
    options = [part.split("|") if i % 2 else [part] for i, part in enumerate(parts)]
    return ["".join(chosen) for chosen in product(*options)]
