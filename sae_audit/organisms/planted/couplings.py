"""Families for interactions: pairs of units that interact, among few or many."""

from sae_audit.organisms.planted.circuit import Circuit, Read, Unit, saturated
from sae_audit.organisms.planted.drawing import HARM, SLOPE, Draw, circuit_of


def hub(size: int, seed: int) -> Circuit:
    """A hub and `size` partners that each compensate for a part of it: a low-rank interaction matrix."""
    draw = Draw(seed, "hub")
    units = [Unit(name="hub", layer=0, drive=HARM, alignment=draw.alignment())]
    units += [
        Unit(name=f"partner{i}", layer=draw.layer(1, 3), drive=HARM, alignment=draw.alignment())
        for i in range(size)
    ]
    reads = [
        read
        for unit in units[1:]
        for read in saturated({"hub": 1.0, unit.name: 1.0}, slope=SLOPE / size)
    ]
    return circuit_of("hub", size, seed, units, reads, offset=-2.7)


def many_pairs(size: int, seed: int) -> Circuit:
    """`size` units, a few of which interact: redundant pairs, shared paths, a hub, a vote.

    The rest act alone and weakly. For interactions among many candidates; too many minimal sets to
    list.
    """
    draw = Draw(seed, "many_pairs")
    assert size >= 16, size
    n_pairs = max(1, size // 40)
    n_partners = 3 if size < 40 else 6
    names = [f"unit{i}" for i in range(size)]
    draw.random.shuffle(names)
    rest = iter(names)
    reads: list[Read] = []
    for _ in range(n_pairs):
        reads += saturated({next(rest): 1.0, next(rest): 1.0}, slope=1.0)
    for _ in range(n_pairs):
        # Both are needed: without either one the other adds nothing.
        reads += saturated({next(rest): 1.0, next(rest): 1.0}, slope=1.0, start=1.0)
    centre = next(rest)
    for _ in range(n_partners):
        reads += saturated({centre: 1.0, next(rest): 1.0}, slope=1.0)
    # Two votes of five suffice: every pair of voters is weakly redundant.
    reads += saturated({next(rest): 1.0 for _ in range(5)}, slope=1.0, start=1.0)
    weak = {name: round(float(draw.random.uniform(0.0, 0.05)), 4) for name in rest}
    reads.append(Read(weights=weak, slope=1.0))
    units = [
        Unit(name=name, layer=draw.layer(0, 3), drive=HARM, alignment=draw.alignment())
        for name in sorted(names)
    ]
    reach = 2 * n_pairs + n_partners + 1 + sum(weak.values())
    return circuit_of("many_pairs", size, seed, units, reads, offset=-reach / 2)
