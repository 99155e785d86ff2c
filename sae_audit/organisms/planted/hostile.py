"""Refusing models of which a claim of the audit is false by construction, and their true twins.

Every request names one thing, in a word of its own. A word says how strongly the thing is harmful, and
some topics beside it. Each topic has a unit and a feature that refusal does not read, so that prompts
of one label differ, as those of real models do, in more than their refusal.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sae_audit.organisms.planted import language
from sae_audit.organisms.planted.circuit import Circuit, Read, Unit, saturated
from sae_audit.organisms.planted.drawing import HARM, INHIBITION, Draw
from sae_audit.organisms.planted.space import space_of
from sae_audit.organisms.planted.suite import (
    SuiteShape,
    player_features_of,
    write_suite,
    write_tiling,
)
from sae_audit.organisms.planted.weights import planted_model

_TOPICS = ("topic0", "topic1", "topic2", "topic3")
_OFFSET, _SLOPE = -3.0, 6.0
_SHAPE = SuiteShape(d_sae=128, firing=32, centred=True)
"""Small, and with encoders that read the stream about the decoder's bias: a rotated one is then as
plausible as its own."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request about one thing."""

    word: str
    harmful: bool
    """The label in the prompt set."""
    strength: float
    """Harm strength of the word, which the mechanism reads; refused from about one half on."""
    kind: str = "harm"
    """The kind of harm that it is of: the category that its strength is in."""
    topic: float | None = None
    """Strength of the word's first topic; drawn if None."""
    extra: str = ""
    """A word without any strength, before the thing."""


def requests(seed: int, n_each: int) -> list[Request]:
    """`n_each` harmful requests, all refused, and as many harmless ones, in words of their own."""
    draw = np.random.default_rng([seed, 1])
    return [
        Request(
            word=f"thing{i}",
            harmful=i < n_each,
            strength=round(float(draw.uniform(0.9, 1.1)), 3) if i < n_each else 0.0,
        )
        for i in range(2 * n_each)
    ]


def one_unit(seed: int) -> Circuit:
    """One unit, with a ceiling that every refused word reaches."""
    draw = Draw(seed, "one_unit")
    units = [Unit(name="cause", layer=0, drive=HARM, alignment=draw.alignment())]
    return _circuit("one_unit", seed, units, saturated({"cause": 1.2}, slope=_SLOPE))


def all_fire(seed: int, *, n: int = 2, steepness: float = 1.0) -> Circuit:
    """`n` units, any of which suffices. All fire: none is a backup. Refusal is at its ceiling from
    1/steepness of one unit's activation on, so the steeper, the more of each must go for a flip."""
    draw = Draw(seed, "all_fire")
    names = [f"way{i}" for i in range(n)]
    units = [
        Unit(name=name, layer=draw.layer(0, 1), drive=HARM, alignment=draw.alignment())
        for name in names
    ]
    reads = saturated(dict.fromkeys(names, steepness), slope=_SLOPE)
    return _circuit("all_fire", seed, units, reads)


def kinds_of_harm(n: int) -> tuple[str, ...]:
    """Names of `n` kinds of harm, those of `by_kind`."""
    return tuple(f"harm{i}" for i in range(n))


def by_kind(seed: int, *, n: int = 3, steepness: float = 3.0) -> Circuit:
    """`n` kinds of harm with a unit each. The direction of all of them holds only a part of each unit,
    and refusal is at its ceiling from 1/steepness of a unit's activation on."""
    draw = Draw(seed, "by_kind")
    units = [
        Unit(name=f"unit{i}", layer=draw.layer(0, 1), drive={kind: 1.0}, alignment=draw.alignment())
        for i, kind in enumerate(kinds_of_harm(n))
    ]
    weights = {unit.name: steepness for unit in units}
    return _circuit(
        "by_kind", seed, units, saturated(weights, slope=_SLOPE), harms=kinds_of_harm(n)
    )


def additive(seed: int) -> Circuit:
    """Nine units that add up, behind a read-out that saturates in steps: one curve over their sum."""
    draw = Draw(seed, "additive")
    names = [f"part{i}" for i in range(9)]
    units = [
        Unit(name=name, layer=draw.layer(0, 1), drive=HARM, alignment=draw.alignment())
        for name in names
    ]
    weights = {name: float(draw.random.uniform(0.3, 1.0)) for name in names}
    total = sum(weights.values())
    weights = {name: round(weight / total, 4) for name, weight in weights.items()}
    reads: list[Read] = []
    # Slopes fall from the floor to the ceiling, at knots drawn by the seed.
    knots = [0.0, *np.sort(draw.random.uniform(0.15, 0.8, size=3)).tolist()]
    slopes = [*np.sort(draw.random.uniform(2.0, 16.0, size=3))[::-1].tolist(), 0.0]
    for knot, slope, before in zip(knots, slopes, [0.0, *slopes], strict=False):
        reads.append(Read(weights=weights, bias=-round(knot, 4), slope=round(slope - before, 4)))
    top = sum(read.slope * (1.0 + read.bias) for read in reads)
    return _circuit("additive", seed, units, reads, offset=-round(top / 2.0, 3))


def pairs(seed: int, *, nats: float = 3.0) -> Circuit:
    """Two redundant pairs, each worth `nats`, beside five units that add up to 2.5 nats."""
    draw = Draw(seed, "pairs")
    single = [f"single{i}" for i in range(5)]
    names = ["a", "b", "c", "d", *single]
    units = [
        Unit(name=name, layer=draw.layer(0, 1), drive=HARM, alignment=draw.alignment())
        for name in names
    ]
    reads = [
        *saturated({"a": 1.0, "b": 1.0}, slope=nats),
        *saturated({"c": 1.0, "d": 1.0}, slope=nats),
        Read(weights=dict.fromkeys(single, 1.0), slope=0.5),
    ]
    return _circuit("pairs", seed, units, reads, offset=-(nats + 1.25))


def backups(seed: int, *, nats: float = 6.0) -> Circuit:
    """A primary, and a backup that activates once it is ablated and restores `nats`."""
    units = [
        Unit(name="primary", layer=0, drive=HARM, alignment=0.75),
        Unit(
            name="backup",
            layer=1,
            drive=HARM,
            reads={"primary": INHIBITION},
            alignment=0.75,
        ),
    ]
    reads = [
        *saturated({"primary": 3.0}, slope=_SLOPE),
        *saturated({"backup": 3.0}, slope=nats),
    ]
    return _circuit("backups", seed, units, reads)


SOME, OTHERS = "some", "others"
"""Kinds of harm of models whose mechanism differs by prompt."""


def pairs_of_some(seed: int, *, nats: float = 3.0) -> Circuit:
    """`pairs` for requests of the kind `SOME`. For `OTHERS` four units that add up take their place."""
    draw = Draw(seed, "pairs_of_some")
    paired, summed = ("a", "b", "c", "d"), ("e", "f", "g", "h")
    single = [f"single{i}" for i in range(5)]
    driven = [(paired, (SOME,)), (summed, (OTHERS,)), (single, (SOME, OTHERS))]
    units = [
        Unit(
            name=name,
            layer=draw.layer(0, 1),
            drive=dict.fromkeys(kinds, 1.0),
            alignment=draw.alignment(),
        )
        for names, kinds in driven
        for name in names
    ]
    reads = [
        *saturated({"a": 1.0, "b": 1.0}, slope=nats),
        *saturated({"c": 1.0, "d": 1.0}, slope=nats),
        Read(weights=dict.fromkeys(summed, 1.0), slope=nats / 2.0),
        Read(weights=dict.fromkeys(single, 1.0), slope=0.5),
    ]
    offset = -(nats + 1.25)
    return _circuit("pairs_of_some", seed, units, reads, offset=offset, harms=(SOME, OTHERS))


def backups_of_some(seed: int, *, nats: float = 6.0) -> Circuit:
    """`backups` for requests of the kind `SOME`. For `OTHERS` one unit without a backup."""
    usual = backups(seed, nats=nats)
    driven = [replace(unit, drive={SOME: 1.0}) for unit in usual.units if unit.name not in _TOPICS]
    bare = Unit(name="bare", layer=0, drive={OTHERS: 1.0}, alignment=0.75)
    reads = [*usual.reads, *saturated({"bare": 3.0}, slope=_SLOPE)]
    return _circuit("backups_of_some", seed, [*driven, bare], reads, harms=(SOME, OTHERS))


def unread(seed: int) -> Circuit:
    """A primary, and one to three units that activate once it is ablated and that refusal does not
    read."""
    draw = Draw(seed, "unread")
    units = [Unit(name="primary", layer=0, drive=HARM, alignment=draw.alignment())]
    units += [
        Unit(
            name=f"bystander{i}",
            layer=1,
            drive=HARM,
            reads={"primary": INHIBITION},
            alignment=draw.alignment(),
        )
        for i in range(draw.layer(1, 3))
    ]
    return _circuit("unread", seed, units, [Read(weights={"primary": 1.0}, slope=_SLOPE)])


def opposed(seed: int) -> Circuit:
    """A primary, and a unit that activates once it is ablated and lowers refusal further."""
    units = [unit for unit in unread(seed).units if unit.name not in _TOPICS]
    reads = [
        Read(weights={"primary": 1.0}, slope=_SLOPE),
        Read(weights={"bystander0": 1.0}, slope=-1.0),
    ]
    return _circuit("opposed", seed, units, reads)


def linear(seed: int) -> Circuit:
    """One unit that refusal reads without a ceiling: words of strength .5 are on the threshold."""
    draw = Draw(seed, "linear")
    units = [Unit(name="cause", layer=0, drive=HARM, alignment=draw.alignment())]
    return _circuit("linear", seed, units, [Read(weights={"cause": 1.0}, slope=_SLOPE)])


def _circuit(
    family: str,
    seed: int,
    units: Sequence[Unit],
    reads: Sequence[Read],
    *,
    offset: float = _OFFSET,
    harms: tuple[str, ...] = ("harm",),
) -> Circuit:
    topics = [
        Unit(name=topic, layer=i % 2, drive={topic: 1.0}, alignment=0.0)
        for i, topic in enumerate(_TOPICS)
    ]
    return Circuit(
        family=family,
        size=len(units),
        seed=seed,
        units=(*units, *topics),
        reads=tuple(reads),
        offset=offset,
        categories=(*harms, *_TOPICS),
    )


@dataclass(frozen=True, kw_only=True)
class Made:
    """One planted model on disk, with the settings that its audit needs."""

    circuit: Circuit
    settings: Mapping[str, object]


def write(
    circuit: Circuit, asked: Sequence[Request], folder: Path, *, tiling: int | None = None
) -> Made:
    """Write model, suite and prompts; the model refuses a request by its word's strength.

    With `tiling`, a seed, the suite is of random dictionaries instead of the planted features.
    """
    draw = np.random.default_rng([circuit.seed, 2])
    said: dict[str, dict[str, float]] = {}
    for one in asked:
        topics = {topic: round(float(draw.uniform(0.1, 1.0)), 3) for topic in _TOPICS}
        if one.topic is not None:
            topics[_TOPICS[0]] = one.topic
        said.setdefault(one.word, {one.kind: one.strength, **topics})
    circuit = replace(circuit, said=said)
    extras = sorted({one.extra for one in asked if one.extra})
    tokenizer = language.tokenizer(circuit, further=extras)
    space = space_of(circuit, n_answer_words=len(language.ANSWER_WORDS), n_words=len(tokenizer))
    model = planted_model(circuit, space, tokenizer, "llama")
    _silence(model, tokenizer)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    if tiling is None:
        features = player_features_of(circuit, _SHAPE)
        write_suite(circuit, space, features, _SHAPE, folder / "saes")
    else:
        write_tiling(circuit, space, _SHAPE, folder / "saes", seed=tiling)
    lines = [
        {
            "id": f"{i}-{one.word}",
            "text": language.request(one.extra, one.word, number=i, seed=circuit.seed),
            "label": "harmful" if one.harmful else "harmless",
        }
        for i, one in enumerate(asked)
    ]
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    n_layers = circuit.n_layers
    return Made(
        circuit=circuit,
        settings={
            "model": str(folder / "model"),
            "saes": str(folder / "saes"),
            "refusal_tokens": [language.REFUSAL[0]],
            "layers": list(range(n_layers - 1)),
            "direction": {"layer_cut": (n_layers - int(0.8 * n_layers) - 1) / n_layers},
        },
    )


def _silence(model: Any, tokenizer: Any) -> None:
    """Leave two first words, one of refusal and one of answers. The rest of a sentence is read from the
    stream so steeply that any dictionary's feature could end refusal by making the model babble."""
    said = {tokenizer.convert_tokens_to_ids(one[0]) for one in (language.REFUSAL, language.ANSWER)}
    head = model.get_output_embeddings().weight
    never = head[tokenizer.convert_tokens_to_ids("how")].detach().clone()
    with torch.no_grad():
        for token in set(range(len(head))) - said:
            head[token] = never
