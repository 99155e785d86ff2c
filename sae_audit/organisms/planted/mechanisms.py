"""Families that differ in how units combine: in series, in parallel, by vote, in waves."""

from collections.abc import Mapping

from sae_audit.organisms.planted.circuit import Circuit, Read, Unit, saturated
from sae_audit.organisms.planted.drawing import HARM, INHIBITION, OFFSET, SLOPE, Draw, circuit_of


def single_bottleneck(size: int, seed: int) -> Circuit:
    """One unit drives `size` others, any of which suffices: ablating it, or all others, flips."""
    draw = Draw(seed, "single_bottleneck")
    units = [Unit(name="neck", layer=0, drive=HARM, alignment=draw.alignment())]
    units += [
        Unit(
            name=f"arm{i}", layer=draw.layer(1, 3), reads={"neck": 1.0}, alignment=draw.alignment()
        )
        for i in range(size)
    ]
    reads = saturated({unit.name: 1.0 for unit in units[1:]}, slope=SLOPE)
    return circuit_of("single_bottleneck", size, seed, units, reads)


def shared_path(size: int, seed: int) -> Circuit:
    """A chain of `size` units, each driven by the one before: ablating any one flips."""
    draw = Draw(seed, "shared_path")
    units = [
        Unit(
            name=f"link{i}",
            layer=i,
            drive={} if i else HARM,
            reads={f"link{i - 1}": 1.0} if i else {},
            alignment=draw.alignment(),
        )
        for i in range(size)
    ]
    reads = [Read(weights={units[-1].name: 1.0}, slope=SLOPE)]
    return circuit_of("shared_path", size, seed, units, reads)


def parallel(size: int, seed: int) -> Circuit:
    """`size` units, any of which suffices: all must be ablated to flip."""
    draw = Draw(seed, "parallel")
    units = [
        Unit(name=f"way{i}", layer=draw.layer(0, 3), drive=HARM, alignment=draw.alignment())
        for i in range(size)
    ]
    reads = saturated({unit.name: 1.0 for unit in units}, slope=SLOPE)
    return circuit_of("parallel", size, seed, units, reads)


def backups(size: int, seed: int) -> Circuit:
    """A primary unit and backups, `size` waves deep: each activates once all before are ablated."""
    draw = Draw(seed, "backups")
    units: list[Unit] = []
    # From a backup drawn by the seed on, all act on the template alone: after one of those, a backup
    # that acts everywhere would activate early, on the words of the request.
    template_from = draw.layer(1, size)
    for i in range(size):
        units.append(
            Unit(
                name="primary" if i == 0 else f"backup{i}",
                layer=i,
                drive=HARM,
                reads={unit.name: INHIBITION for unit in units},
                alignment=draw.alignment(),
                template_only=i >= template_from,
            )
        )
    reads = [Read(weights={unit.name: 1.0 for unit in units}, slope=SLOPE)]
    return circuit_of("backups", size, seed, units, reads)


def votes(size: int, seed: int) -> Circuit:
    """k of `size` units refuse; any set that leaves fewer than k flips, and there are many.

    The seed draws k, from 2 to `size` - 1. A bare majority is an odd function: no pair weights.
    """
    draw = Draw(seed, "votes")
    needed = draw.layer(2, size - 1)
    units = [
        Unit(name=f"vote{i}", layer=draw.layer(0, 3), drive=HARM, alignment=draw.alignment())
        for i in range(size)
    ]
    weights = {unit.name: 1.0 for unit in units}
    return circuit_of("votes", size, seed, units, saturated(weights, slope=SLOPE, start=needed - 1))


def mixed(size: int, seed: int) -> Circuit:
    """A primary with a backup, and a majority of `size` votes: refusal needs both.

    Either branch can be cut, the first by two features, the second by several sets.
    """
    draw = Draw(seed, "mixed")
    needed = size // 2 + 1
    units = [
        Unit(name="primary", layer=0, drive=HARM, alignment=draw.alignment()),
        Unit(
            name="backup",
            layer=draw.layer(1, 2),
            drive=HARM,
            reads={"primary": INHIBITION},
            alignment=draw.alignment(),
        ),
    ]
    ballots = [
        Unit(name=f"vote{i}", layer=draw.layer(0, 3), drive=HARM, alignment=draw.alignment())
        for i in range(size)
    ]
    # The branches meet in a unit without an SAE feature: with one it would be a bottleneck.
    count = Unit(
        name="count",
        layer=4,
        reads={unit.name: 1.0 for unit in ballots},
        bias=1.0 - needed,
        alignment=0.0,
        features=0,
    )
    spare = Unit(
        name="surplus",
        layer=4,
        reads={unit.name: 1.0 for unit in ballots},
        bias=-float(needed),
        alignment=0.0,
        features=0,
    )
    weights = {"primary": 1.0, "backup": 1.0, "count": 1.0, "surplus": -1.0}
    reads = saturated(weights, slope=SLOPE, start=1.0)
    return circuit_of("mixed", size, seed, [*units, *ballots, count, spare], reads)


def per_category(size: int, seed: int) -> Circuit:
    """Three harm categories with separate mechanisms: one unit, `size` parallel units, a backup."""
    draw = Draw(seed, "per_category")

    def unit(name: str, category: str, layer: int, reads: Mapping[str, float]) -> Unit:
        return Unit(
            name=name,
            layer=layer,
            drive={category: 1.0},
            reads=reads,
            alignment=draw.alignment(),
        )

    single = [unit("single", "theft", draw.layer(0, 3), {})]
    ways = [unit(f"way{i}", "malware", draw.layer(0, 3), {}) for i in range(size)]
    first = unit("primary", "violence", 0, {})
    second = unit("backup", "violence", draw.layer(1, 3), {"primary": INHIBITION})
    reads = [Read(weights={"single": 1.0, "primary": 1.0, "backup": 1.0}, slope=SLOPE)]
    reads += saturated({way.name: 1.0 for way in ways}, slope=SLOPE)
    return Circuit(
        family="per_category",
        size=size,
        seed=seed,
        units=(*single, *ways, first, second),
        reads=tuple(reads),
        offset=OFFSET,
        categories=("theft", "malware", "violence"),
    )
