"""Circuits with dense features, which fire at every token; without one the model babbles."""

from sae_audit.organisms.planted.circuit import NEVER, Circuit, Read, Unit
from sae_audit.organisms.planted.drawing import HARM, SLOPE, Draw, circuit_of

N_CARRIERS = 2
_DRIVE = 0.1
"""Drive of a carrier by harm, beside 1: dense features are not quite alike on both labels."""
_BABBLE = 2.0
"""Logit (nats) of the word that the model says without a carrier; that of its answer is 0."""
_FIRST = 0.6
"""Share of `SLOPE` that one refusing unit brings, whichever; all others together bring the rest."""


def dense(size: int, seed: int) -> Circuit:
    """`size` parallel units that must all be ablated, and two carriers that fire at every token of any
    prompt.

    Refusing units read the carriers, and so does what the model says to harmless prompts: without a
    carrier it babbles. With size and seed both even or both odd a carrier alone flips a prompt; else it
    takes a carrier and one other unit.
    """
    draw = Draw(seed, "dense")
    carriers = [
        Unit(
            name=f"carrier{i}",
            layer=0,
            drive={"harm": _DRIVE},
            bias=1.0,
            alignment=draw.alignment(),
            dense=True,
        )
        for i in range(N_CARRIERS)
    ]
    weight = 1.0 if (size + seed) % 2 == 0 else 0.2
    ways = [
        Unit(
            name=f"way{i}",
            layer=draw.layer(1, 3),
            drive=HARM,
            reads={carrier.name: weight for carrier in carriers},
            bias=-weight * N_CARRIERS,
            alignment=draw.alignment(),
        )
        for i in range(size)
    ]
    weights = {way.name: 1.0 for way in ways}
    later = (1.0 - _FIRST) * SLOPE / (size - 1)
    reads = [
        Read(weights=weights, slope=_FIRST * SLOPE),
        Read(weights=weights, bias=-1.0, slope=later - _FIRST * SLOPE),
    ]
    units = [*carriers, *ways]
    return circuit_of("dense", size, seed, units, reads, babbles=_babbles(carriers))


def raised(size: int, seed: int) -> Circuit:
    """`size` dense units that fire twice as much on harmful prompts, which is all that refusal reads.

    No family of the bench: no ablation to 0 removes refusal without breaking the model, so there are no
    minimal sets to find. Half of the units set to what they are on harmless prompts, or a bit more, do.
    """
    draw = Draw(seed, "raised")
    units = [
        Unit(
            name=f"way{i}",
            layer=draw.layer(0, 3),
            drive=HARM,
            bias=1.0,
            alignment=draw.alignment(),
            dense=True,
        )
        for i in range(size)
    ]
    weights = {unit.name: 1.0 for unit in units}
    reads = [Read(weights=weights, bias=-float(size), slope=SLOPE / size)]
    return circuit_of("raised", size, seed, units, reads, babbles=_babbles(units))


def _babbles(units: list[Unit]) -> tuple[Read, ...]:
    """For each unit a word that the model says without it."""
    return tuple(Read(weights={unit.name: -1.0}, bias=1.0, slope=_BABBLE - NEVER) for unit in units)
