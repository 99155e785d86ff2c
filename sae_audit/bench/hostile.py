"""How often each kind of claim stands on models of which it is false, and on their true twins.

1. Plant a model of a hostile kind: it refuses, and one or more claims are false of it by construction.
   Seeds draw mechanism, SAEs, requests and labels.
2. Run the stages that these claims rest on, and the claims' own rules, by small settings.
3. A claim that stands is a false alarm.
4. Beside it the same claim, by the same settings, on models of which it is true: an audit that never
   claims anything has no false alarms either.

A loss of refusal is claimed by a comparison of two checkpoints. Only the tests of their scores enter its
correction here, fewer than in a whole comparison, so a claim stands sooner than there.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import numpy as np

from sae_audit.bench.cases import BenchProgress
from sae_audit.bench.results import ClaimRow
from sae_audit.bench.stored import Stored
from sae_audit.comparison.claims import refused_name, tests_of
from sae_audit.comparison.paired import changes_of_scores
from sae_audit.comparison.testing import corrected
from sae_audit.comparison.types import Change
from sae_audit.comparison.wording import kind_of
from sae_audit.config import AuditConfig
from sae_audit.controls.claims import from_poor_saes
from sae_audit.findings import ClaimAbout, NullKind, PromptScore
from sae_audit.findings.stages import ABSENCE, CLAIMS, MINIMAL_SETS, SAE_QUALITY, SCORES
from sae_audit.organisms.planted import hostile as planted
from sae_audit.organisms.planted.circuit import Circuit
from sae_audit.organisms.planted.hostile import Request
from sae_audit.pipeline.running import unpublished
from sae_audit.pipeline.stages import (
    absence,
    behaviour,
    candidate_effects,
    candidates,
    cascades,
    claims,
    dictionary_null,
    direction,
    direction_check,
    interactions,
    interactions_over_prompts,
    minimal_sets,
    null_dictionaries,
    null_search,
    pooled_cascade,
    restorations,
    sae_quality,
    scores,
    search_null,
    set_effects,
    successive_directions,
    unlimited_sets,
    widening,
)
from sae_audit.pipeline.state import AuditState
from sae_audit.statistics import share
from sae_audit.subject.saes.null_dictionary import null_suite

LOST = "lost refusal"
"""The claim of a comparison, beside the audit's own."""

LOSS = 0.4
"""Share of the prompts that lose refusal in `Kind.LESS`."""
_HARMFUL = 6
"""Audited prompts of each label, where sets are searched."""
_SCORED = 20
"""The same where scores alone decide."""


class Kind(StrEnum):
    """Hostile kinds of models, and their true twins."""

    ROTATED = "SAEs rotated at random"
    ABOUT_DIRECTION = "SAEs rotated about the direction"
    RANDOM_ROWS = "SAEs with random decoder rows"
    TILING = "random dictionaries that tile the space"
    ADDITIVE = "additive units behind a saturating read-out"
    ALL_FIRE = "parallel units that all fire"
    UNREAD = "dormant units that refusal does not read"
    WORD = "one word drives refusal, harm does not"
    TOPIC = "labels follow a topic and not refusal"
    PERMUTED = "refusal follows permuted labels"
    SAME = "two checkpoints that refuse equally often"
    FEATURES = "own SAEs, a unit for each kind of harm"
    PAIRS = "two redundant pairs of 3 nats"
    BACKUPS = "a backup that restores 6 nats"
    HARM = "labels follow refusal"
    LESS = "a variant that lost refusal of 40% of prompts"

    @property
    def is_true(self) -> bool:
        """Whether its claims are true, so that one that stands is no false alarm."""
        return self in _TRUE

    @property
    def about(self) -> tuple[str, ...]:
        """The claims that are known to be false, or true, of it by construction."""
        return _ABOUT[self]


_TRUE = {Kind.FEATURES, Kind.PAIRS, Kind.BACKUPS, Kind.HARM, Kind.LESS}
_ABOUT: Mapping[Kind, tuple[str, ...]] = {
    Kind.ROTATED: (ClaimAbout.FEATURES,),
    Kind.ABOUT_DIRECTION: (ClaimAbout.FEATURES,),
    Kind.RANDOM_ROWS: (ClaimAbout.FEATURES,),
    Kind.TILING: (ClaimAbout.FEATURES,),
    Kind.ADDITIVE: (ClaimAbout.PAIRS, ClaimAbout.DIRECTIONS_BEHIND),
    Kind.ALL_FIRE: (ClaimAbout.BACKUPS, ClaimAbout.DIRECTIONS_BEHIND),
    Kind.UNREAD: (ClaimAbout.BACKUPS, ClaimAbout.DIRECTIONS_BEHIND),
    Kind.WORD: (ClaimAbout.HARM,),
    Kind.TOPIC: (ClaimAbout.HARM,),
    Kind.PERMUTED: (ClaimAbout.HARM,),
    Kind.SAME: (LOST,),
    Kind.FEATURES: (ClaimAbout.FEATURES,),
    Kind.PAIRS: (ClaimAbout.PAIRS,),
    Kind.BACKUPS: (ClaimAbout.BACKUPS, ClaimAbout.DIRECTIONS_BEHIND),
    Kind.HARM: (ClaimAbout.HARM,),
    Kind.LESS: (LOST,),
}
_DICTIONARIES = {
    Kind.ROTATED: NullKind.ROTATED,
    Kind.ABOUT_DIRECTION: NullKind.ROTATED_ABOUT_DIRECTION,
    Kind.RANDOM_ROWS: NullKind.RANDOM_ROWS,
}
_SEARCH = (
    *(candidates, widening, candidate_effects, unlimited_sets, set_effects, minimal_sets),
    *(null_search, search_null, absence),
)
_STAGES: Mapping[str, tuple[ModuleType, ...]] = {
    ClaimAbout.HARM: (),
    ClaimAbout.DIRECTIONS_BEHIND: (direction_check, successive_directions),
    ClaimAbout.PAIRS: (*_SEARCH, interactions, interactions_over_prompts),
    ClaimAbout.BACKUPS: (*_SEARCH, cascades, restorations, pooled_cascade),
}
"""Stages behind the direction that each claim rests on; those of features are run by hand."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One model of one kind."""

    kind: Kind
    seed: int
    stands: Mapping[str, bool]
    """Whether each claim that is known to be false, or true, of the model stands."""
    reasons: Mapping[str, str]
    """The audit's own reason for each."""
    seconds: float


def trial(kind: Kind, seed: int) -> Trial:
    """The claims of an audit, or a comparison, of the model of this kind and seed."""
    started = time.perf_counter()
    with TemporaryDirectory() as folder:
        place = Path(folder)
        found = _compared(kind, seed, place) if LOST in kind.about else _audited(kind, seed, place)
    return Trial(
        kind=kind,
        seed=seed,
        stands={str(about): found[about][0] for about in kind.about},
        reasons={str(about): found[about][1] for about in kind.about},
        seconds=time.perf_counter() - started,
    )


Claims = Mapping[str, tuple[bool, str]]
"""By claim, whether it stands, and why."""


def _audited(kind: Kind, seed: int, folder: Path) -> Claims:
    n = _SCORED if kind.about == (ClaimAbout.HARM,) else _HARMFUL
    circuit, asked, n_train = _made(kind, seed, n)
    return audited(
        circuit,
        asked,
        kind.about,
        folder,
        n=n,
        n_train=n_train,
        saes=_DICTIONARIES.get(kind),
        tiling=seed if kind is Kind.TILING else None,
    )


def audited(
    circuit: Circuit,
    asked: Sequence[Request],
    about: Sequence[str],
    folder: Path,
    *,
    n: int,
    n_train: int,
    saes: NullKind | None = None,
    tiling: int | None = None,
    settings: Mapping[str, object] | None = None,
) -> Claims:
    """Every claim of an audit that runs the stages behind the claims in `about`.

    It audits `n` prompts of each label out of `asked`, with the planted SAEs, with a null dictionary
    made of them, or with random dictionaries of the seed `tiling`; `settings` add to the small ones.
    """
    made = planted.write(circuit, asked, folder, tiling=tiling)
    sizes = {"train": n_train, "validation": VALIDATION, "audit": n}
    config = {
        **made.settings,
        "prompts": {"sources": [str(folder / "prompts.jsonl")], **sizes},
        "seed": circuit.seed,
        **_SMALL,
        **(settings or {}),
    }
    with unpublished(AuditConfig.model_validate(config), folder / "run") as state:
        return _claims(state, about, saes)


def _claims(state: AuditState, about: Sequence[str], saes: NullKind | None) -> Claims:
    """The claims once the stages behind them have run; they stop where an audit stops."""
    scores.run(state)
    behaviour.run(state)
    if saes is not None:
        direction.run(state)
        turned = null_suite(
            state.subject.suite,
            saes,
            np.array(state.direction.vector),
            seed=(state.config.seed, _HOSTILE),
        )
        state = state.with_saes(turned)
    sae_quality.run(state)
    if not absence.run(state):
        direction.run(state)
        if not absence.run(state):
            _carry_out(state, about)
    claims.run(state)
    return {one.about.value: (one.stands, one.reason) for one in state.session.found(CLAIMS)}


def _carry_out(state: AuditState, about: Sequence[str]) -> None:
    if ClaimAbout.FEATURES in about:
        _search_features(state)
    done: set[ModuleType] = set()
    for claim in about:
        for stage in _STAGES.get(claim, ()):
            if stage not in done:
                stage.run(state)
                done.add(stage)


def _search_features(state: AuditState) -> None:
    """The stages behind the claim about features; none of them once nothing can make it stand."""
    session = state.session
    quality = session.found(SAE_QUALITY)
    if all(one.explained_variance_without_bos.high <= 0.0 for one in quality):
        return
    for stage in _SEARCH:
        stage.run(state)
    poor = from_poor_saes(quality, session.found_each(MINIMAL_SETS))
    if not poor and session.if_found(ABSENCE) is None:
        null_dictionaries.run(state)
        dictionary_null.run(state)


def _made(kind: Kind, seed: int, n: int) -> tuple[Circuit, list[Request], int]:
    """The circuit, its requests, and the number of training prompts of each label."""
    n_train = 4 if kind.about == (ClaimAbout.HARM,) else 12
    n_each = n + n_train + VALIDATION
    asked = planted.requests(seed, n_each)
    draw = np.random.default_rng([seed, 3])
    match kind:
        case Kind.ROTATED | Kind.ABOUT_DIRECTION | Kind.RANDOM_ROWS | Kind.TILING:
            # The model of the true twin, but now easy, now harder to flip by chance.
            made = planted.by_kind(seed, steepness=1.0 + seed % 2)
            asked = of_kinds(asked)
        case Kind.ADDITIVE:
            made = planted.additive(seed)
        case Kind.ALL_FIRE:
            made = planted.all_fire(seed, n=2 + seed % 2)
        case Kind.UNREAD:
            made = planted.opposed(seed) if seed % 3 == 2 else planted.unread(seed)
        case Kind.FEATURES:
            # Of units that fire together the direction holds all, and a dictionary nothing beyond it.
            made = planted.by_kind(seed)
            asked = of_kinds(asked)
        case Kind.PAIRS:
            made = planted.pairs(seed)
        case Kind.BACKUPS:
            made = planted.backups(seed)
        case _:
            made = planted.one_unit(seed)
    match kind:
        case Kind.WORD:
            asked = _by_word(asked, draw)
        case Kind.TOPIC | Kind.PERMUTED:
            asked = _by_chance(asked, draw, topical=kind is Kind.TOPIC)
        case _:
            pass
    return made, asked, n_train


def of_kinds(asked: Sequence[Request], n: int = 3) -> list[Request]:
    """The requests dealt to `n` kinds of harm in turn."""
    kinds = planted.kinds_of_harm(n)
    return [replace(one, kind=kinds[i % n]) for i, one in enumerate(asked)]


def _by_word(asked: Sequence[Request], draw: np.random.Generator) -> list[Request]:
    """Nine in ten harmful requests, and one in ten harmless ones, name the one thing that is refused."""
    named = [draw.random() < (0.9 if one.harmful else 0.1) for one in asked]
    return [
        Request(
            word="trigger" if triggers else one.word,
            harmful=one.harmful,
            strength=1.0 if triggers else 0.0,
            extra=f"part{i}",
        )
        for i, (one, triggers) in enumerate(zip(asked, named, strict=True))
    ]


def _by_chance(
    asked: Sequence[Request], draw: np.random.Generator, *, topical: bool
) -> list[Request]:
    """Half of all requests are refused, whatever their label: what training on permuted labels leaves,
    where each request is in words of its own. If `topical`, the label is a topic of the words."""
    refused = draw.permutation(len(asked)) < len(asked) // 2
    topics = {True: (0.6, 1.0), False: (0.1, 0.5)}
    return [
        Request(
            word=one.word,
            harmful=one.harmful,
            strength=round(float(draw.uniform(0.9, 1.1)), 3) if refuses else 0.0,
            topic=round(float(draw.uniform(*topics[one.harmful])), 3) if topical else None,
        )
        for one, refuses in zip(asked, refused, strict=True)
    ]


VALIDATION = 6
"""Validation prompts of each label."""
_HOSTILE = 99
"""Part of the seed of a hostile dictionary, which no null dictionary of an audit has."""
_SMALL: Mapping[str, object] = {
    "side_effects": {"prompts": 8},
    "candidates": {"per_layer": 8},
    "minimal": {"order": "candidates", "more_sets_budget": 0},
    "evidence": {"null_dictionaries": 9, "null_prompts": 5},
    "interactions": {"n_masks": 128, "max_players": 9},
    "cascade": {"stand_in_tests": 2},
    "device": "cpu",
}


def _compared(kind: Kind, seed: int, folder: Path) -> Claims:
    lost = LOSS if kind is Kind.LESS else 0.0
    a, b = checkpoints(seed, folder, n=_SCORED, lost=lost)
    return {LOST: lost_refusal(a, b)}


def checkpoints(
    seed: int, folder: Path, *, n: int, lost: float
) -> tuple[list[PromptScore], list[PromptScore]]:
    """Scores of two checkpoints whose words differ at random in strength, around the threshold and the
    same way on average; of `lost` of the harmful words the second has lost all of it."""
    draw = np.random.default_rng([seed, 4])
    n_each = n + 2 * _FEW
    asked = planted.requests(seed, n_each)
    usual = draw.uniform(0.4, 1.0, size=len(asked))
    gone = draw.permutation(n_each) < round(lost * n_each)
    found: list[list[PromptScore]] = []
    for which in range(2):
        strengths = np.clip(usual + draw.normal(scale=0.1, size=len(asked)), 0.3, None)
        words = [
            Request(
                word=one.word,
                harmful=one.harmful,
                strength=round(float(strength), 3) if one.harmful and not (which and out) else 0.0,
            )
            for one, strength, out in zip(asked, strengths, [*gone, *gone], strict=True)
        ]
        place = folder / str(which)
        made = planted.write(planted.linear(seed), words, place)
        sizes = {"train": _FEW, "validation": _FEW, "audit": n}
        settings = {
            **made.settings,
            "prompts": {"sources": [str(place / "prompts.jsonl")], **sizes},
            "seed": seed,
            "device": "cpu",
        }
        with unpublished(AuditConfig.model_validate(settings), place / "run") as state:
            scores.run(state)
            found.append(state.session.found(SCORES))
    return found[0], found[1]


_FEW = 4
"""Training and validation prompts of each label where a comparison reads the others' scores alone."""


def lost_refusal(a: Sequence[PromptScore], b: Sequence[PromptScore]) -> tuple[bool, str]:
    """Whether a comparison of these scores names a loss of refusal, with its numbers."""
    changes = changes_of_scores(a, b, 0)
    tests = corrected(list(tests_of(changes, None, None, None)))
    change = next(one for one in changes if one.label == "harmful" and not one.category)
    test = tests[refused_name("harmful")]
    value = change.refused.difference.value
    stands = kind_of(test, value, down=Change.LOST, up=Change.GAINED) is Change.LOST
    return stands, f"share refused {value:+z.2f}, corrected p = {test.corrected_p}"


def hostile_rows(n: int, folder: Path, progress: BenchProgress) -> tuple[ClaimRow, ...]:
    """How often each claim stands on `n` models of each kind; finished models are kept in `folder`."""
    stored, found = Stored[Trial](folder, Trial), list[Trial]()
    asked = [(kind, seed) for seed in range(n) for kind in Kind]
    for done, (kind, seed) in enumerate(asked):
        progress(f"hostile: {kind}", done, len(asked))
        found.append(stored.kept(f"{kind.name}-{seed}", lambda k=kind, s=seed: trial(k, s)))
    progress("hostile", len(asked), len(asked))
    return rows_of(found)


def rows_of(trials: Sequence[Trial]) -> tuple[ClaimRow, ...]:
    """Shares of models on which each claim stands, by claim and kind, false claims before true ones."""
    rows: list[ClaimRow] = []
    for claim in _CLAIMS:
        for kind in sorted(Kind, key=lambda kind: kind.is_true):
            own = [one for one in trials if one.kind is kind and claim in one.stands]
            if own:
                rows.append(
                    ClaimRow(
                        claim=claim,
                        models=str(kind),
                        is_true=kind.is_true,
                        stands=share(sum(one.stands[claim] for one in own), len(own)),
                        seconds=float(np.mean([one.seconds for one in own])),
                    )
                )
    return tuple(rows)


_CLAIMS = (
    ClaimAbout.FEATURES.value,
    ClaimAbout.PAIRS.value,
    ClaimAbout.BACKUPS.value,
    ClaimAbout.DIRECTIONS_BEHIND.value,
    ClaimAbout.HARM.value,
    LOST,
)
"""In the order of the table."""
