"""Models without a mechanism are what they say, and alarms are counted."""

import json
from pathlib import Path

import numpy as np
import pytest

from sae_audit.bench import alarms
from sae_audit.bench.alarms import alarm_rows
from sae_audit.bench.false_alarms import FalseAlarms, Kind, Trial, false_alarms
from sae_audit.bundled import bundled_root
from sae_audit.findings import AbsenceKind
from sae_audit.organisms.mechanismless import write_shuffled_prompts, write_tiny
from sae_audit.statistics import auroc
from tests.synthetic.findings import absence


def trial(kind: Kind, absent: AbsenceKind | None) -> Trial:
    return Trial(
        kind=kind,
        seed=0,
        refused=0.5,
        separation=auroc([1.0], [0.0]),
        absence=None if absent is None else absence(absent),
        seconds=1.0,
    )


def test_a_run_without_an_absence_is_a_false_alarm():
    found = FalseAlarms(
        trials=(
            trial(Kind.TINY_LLAMA, None),
            trial(Kind.TINY_LLAMA, AbsenceKind.NO_SEPARATION),
            trial(Kind.SHUFFLED_LABELS, AbsenceKind.NO_SEPARATION),
            trial(Kind.SHUFFLED_LABELS, AbsenceKind.NO_SEPARATION),
        )
    )
    assert (found.rate.value, found.rate.n) == (0.25, 4)
    assert {kind: one.value for kind, one in found.by_kind.items()} == {
        Kind.TINY_LLAMA: 0.5,
        Kind.SHUFFLED_LABELS: 0.0,
    }
    assert found.by_kind[Kind.SHUFFLED_LABELS].high > 0.6, "two models show little"
    assert found.absences[Kind.SHUFFLED_LABELS] == {AbsenceKind.NO_SEPARATION: 2}


def test_the_control_counts_in_no_rate_of_false_alarms(monkeypatch: pytest.MonkeyPatch):
    found = FalseAlarms(
        trials=(
            trial(Kind.TINY_LLAMA, AbsenceKind.NO_SEPARATION),
            trial(Kind.ORGANISM, None),
            trial(Kind.ORGANISM, AbsenceKind.NO_FLIP),
        )
    )
    assert (found.rate.value, found.rate.n) == (0.0, 1)
    assert (found.by_kind[Kind.ORGANISM].value, found.by_kind[Kind.ORGANISM].n) == (0.5, 2)
    monkeypatch.setattr(alarms, "false_alarms", lambda *_: found)
    rows = alarm_rows(1, lambda *_: None)
    assert [(row.models, row.has_mechanism, row.claimed.n) for row in rows] == [
        (Kind.TINY_LLAMA, False, 1),
        ("all without a mechanism", False, 1),
        (Kind.ORGANISM, True, 2),
    ]


def test_shuffling_deals_the_same_labels_to_the_same_prompts(tmp_path: Path):
    write_shuffled_prompts(tmp_path / "prompts.jsonl", seed=3)
    permuted, own = (
        {row["id"]: row for row in map(json.loads, path.read_text().splitlines())}
        for path in (tmp_path / "prompts.jsonl", bundled_root() / "organism" / "prompts.jsonl")
    )
    assert {i: row["text"] for i, row in permuted.items()} == {i: r["text"] for i, r in own.items()}
    labels = [(permuted[i]["label"], own[i]["label"]) for i in own]
    assert sorted(a for a, _ in labels) == sorted(b for _, b in labels)
    assert 0.3 < np.mean([a == b for a, b in labels]) < 0.7


def test_random_models_are_the_same_again(tmp_path: Path):
    first, again, other = (write_tiny(tmp_path / str(i), "llama", i // 2) for i in (0, 1, 2))
    assert first == again
    assert first != other
    files = [tmp_path / i / "model.safetensors" for i in ("0", "1")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.slow
def test_a_random_model_that_refuses_half_of_all_prompts_is_claimed_nothing_of():
    reported: list[tuple[int, int]] = []
    found = false_alarms(
        2, 0, lambda done, of: reported.append((done, of)), kinds=(Kind.TINY_LLAMA,)
    )
    assert reported == [(0, 2), (1, 2), (2, 2)]
    assert all(0.2 < one.refused < 0.8 for one in found.trials), "scores hover around 0"
    assert found.absences == {Kind.TINY_LLAMA: {AbsenceKind.NO_SEPARATION: 2}}
    assert found.rate.value == 0.0


@pytest.mark.slow
def test_the_organism_is_claimed_to_have_the_mechanism_that_it_has():
    """By the settings that claim nothing of models without one."""
    found = false_alarms(1, 0, lambda *_: None, kinds=(Kind.ORGANISM,))
    assert found.by_kind[Kind.ORGANISM].value == 1.0
    assert found.trials[0].separation.low > 0.9
