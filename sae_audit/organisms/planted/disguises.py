"""Families of simple mechanisms that SAEs or the refusal direction represent badly."""

from dataclasses import replace

from sae_audit.organisms.planted.circuit import Circuit, Read, Unit, saturated
from sae_audit.organisms.planted.drawing import HARM, SLOPE, Draw, circuit_of

_WHISPER = 0.06


def decoys(size: int, seed: int) -> Circuit:
    """One causal unit among `size` others that fire and align with the direction without any effect."""
    draw = Draw(seed, "decoys")
    units = [Unit(name="cause", layer=2, drive=HARM, alignment=0.5)]
    units += [
        Unit(
            name=f"decoy{i}",
            layer=draw.layer(0, 3),
            drive=HARM,
            alignment=round(float(draw.random.uniform(0.8, 0.95)), 3),
        )
        for i in range(size)
    ]
    reads = [Read(weights={"cause": 1.0}, slope=SLOPE)]
    return circuit_of("decoys", size, seed, units, reads)


def low_cosine(size: int, seed: int) -> Circuit:
    """`size` units that must all be ablated; one aligns with the direction, the others write weakly.

    Those write so little, so far from the common direction, that no difference of means shows them;
    their readers have larger weights instead.
    """
    draw = Draw(seed, "low_cosine")
    units = [Unit(name="way0", layer=draw.layer(0, 3), drive=HARM, alignment=0.7)]
    units += [
        Unit(
            name=f"way{i}",
            layer=draw.layer(0, 3),
            drive={"harm": _WHISPER},
            alignment=0.01 * draw.layer(-2, 2),
        )
        for i in range(1, size)
    ]
    weights = {unit.name: 1.0 / unit.drive["harm"] for unit in units}
    if seed % 2:
        # One suffices: on the clean run no gradient shows any of them.
        return circuit_of("low_cosine", size, seed, units, saturated(weights, slope=SLOPE))
    reads = [Read(weights=weights, slope=SLOPE / 2)]
    return circuit_of("low_cosine", size, seed, units, reads, offset=-0.4 * SLOPE / 2)


def splitting(size: int, seed: int) -> Circuit:
    """One unit that the SAE splits into `size` features with equal shares."""
    draw = Draw(seed, "splitting")
    units = [
        Unit(
            name="whole",
            layer=draw.layer(1, 3),
            drive=HARM,
            alignment=draw.alignment(),
            features=size,
        )
    ]
    # Nearly all of it must be ablated: a single remaining part suffices.
    reads = saturated({"whole": float(size)}, slope=SLOPE)
    return circuit_of("splitting", size, seed, units, reads)


def imperfect(size: int, seed: int) -> Circuit:
    """`size` parallel units under an SAE with noisy rows; its error alone has a fifth of the drive."""
    draw = Draw(seed, "imperfect")
    units = [
        Unit(name=f"way{i}", layer=draw.layer(0, 3), drive=HARM, alignment=draw.alignment())
        for i in range(size)
    ]
    hidden = Unit(
        name="hidden", layer=draw.layer(1, 3), drive=HARM, alignment=draw.alignment(), features=0
    )
    reads = saturated({unit.name: 1.0 for unit in units}, slope=0.8 * SLOPE)
    reads.append(Read(weights={"hidden": 1.0}, slope=0.2 * SLOPE))
    made = circuit_of("imperfect", size, seed, [*units, hidden], reads)
    return replace(made, decoder_noise=0.2)
