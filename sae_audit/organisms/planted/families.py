"""The planted families, each with a known correct answer for an audit.

A family, a size and a seed define one circuit. The seed draws layers, alignments and, if there are
alternatives, the roles of units; the correct answer depends on the size. Harmful prompts score about
+3 nats and harmless ones about -3 for every mechanism.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sae_audit.organisms.planted.carriers import dense
from sae_audit.organisms.planted.circuit import Circuit
from sae_audit.organisms.planted.couplings import hub, many_pairs
from sae_audit.organisms.planted.disguises import decoys, imperfect, low_cosine, splitting
from sae_audit.organisms.planted.mechanisms import (
    backups,
    mixed,
    parallel,
    per_category,
    shared_path,
    single_bottleneck,
    votes,
)


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family with the sizes that the benchmark plants."""

    build: Callable[[int, int], Circuit]
    sizes: tuple[int, ...]


FAMILIES: Mapping[str, Family] = {
    "single_bottleneck": Family(build=single_bottleneck, sizes=(2, 4)),
    "shared_path": Family(build=shared_path, sizes=(2, 3)),
    "parallel": Family(build=parallel, sizes=(2, 3, 5)),
    "backups": Family(build=backups, sizes=(2, 3, 4)),
    "votes": Family(build=votes, sizes=(3, 5, 7)),
    "mixed": Family(build=mixed, sizes=(3, 5)),
    "decoys": Family(build=decoys, sizes=(4, 12)),
    "low_cosine": Family(build=low_cosine, sizes=(2, 3)),
    "splitting": Family(build=splitting, sizes=(2, 3)),
    "imperfect": Family(build=imperfect, sizes=(2, 4)),
    "per_category": Family(build=per_category, sizes=(2, 3)),
    "hub": Family(build=hub, sizes=(4, 6)),
    "dense": Family(build=dense, sizes=(3, 4)),
    "many_pairs": Family(build=many_pairs, sizes=(16, 50, 200)),
}


def build(family: str, size: int, seed: int) -> Circuit:
    """The circuit of one family.

    Raises:
        KeyError: no such family.
    """
    return FAMILIES[family].build(size, seed)
