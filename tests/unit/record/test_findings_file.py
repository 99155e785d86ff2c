"""Every field of every finding reaches `findings.json`, under its own name and with its own value."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from itertools import islice
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from sae_audit import findings
from sae_audit.errors import AuditError
from sae_audit.findings import (
    AbsenceKind,
    Direction,
    NoDirection,
    PromptScore,
)
from sae_audit.findings.example import primes
from sae_audit.findings.stages import (
    ABSENCE,
    DIRECTION,
    INTERACTIONS,
    STAGE_OF,
    STAGES,
    OfMany,
    OfPrompts,
)
from sae_audit.record.facts import StageFacts
from sae_audit.record.findings_file import VERSION, Findings, read_findings, schema
from sae_audit.record.publish import OTHERWISE, published
from sae_audit.record.reading import Recorded
from sae_audit.record.run import Run
from sae_audit.vocabulary import FeatureId
from tests.synthetic.runs import manifest, synthetic_run

SCHEMA = Path(__file__).parents[3] / "docs" / "findings.schema.json"
REWRITE = "uv run sae-audit schema > docs/findings.schema.json"
OTHER_PLACE = {
    "widening": "widened_pools",
    "null_search": "null_sets",
}
"""Keys of the file for stages that it calls otherwise."""
LISTED = [kind for kind in map(findings.__dict__.get, findings.__all__) if is_dataclass(kind)]


def rows_of_examples(numbers: Iterator[int]) -> dict[str, list[Any]]:
    """One of each finding, two if there is one for each prompt."""
    rows: dict[str, list[Any]] = {}
    ids: list[str] = []
    for stage in STAGES:
        kind: Any = stage.kinds[0]
        if stage is INTERACTIONS:
            rows[stage.name] = [kind.example(numbers, scope="pooled"), kind.example(numbers)]
        elif stage is ABSENCE:
            rows[stage.name] = [kind.example(numbers, kind=AbsenceKind.NO_FLIP)]
        elif stage is DIRECTION:
            rows[stage.name] = [Direction.example(numbers)]
        elif get_origin(kind) is list:
            rows[stage.name] = [[get_args(kind)[0].example(numbers) for _ in range(2)]]
        elif isinstance(stage, OfMany):
            rows[stage.name] = [kind.example(numbers) for _ in range(2)]
            if isinstance(stage, OfPrompts):
                ids += [one.prompt_id for one in rows[stage.name]]
        else:
            rows[stage.name] = [kind.example(numbers)]
    rows["scores"] = [[PromptScore.example(numbers, prompt_id=one) for one in ids]]
    return rows


def run_of(folder: Path, rows: dict[str, list[Any]]) -> Run:
    run = Run(folder)
    run.__dict__.update(recorded=Recorded(facts={}, rows=rows, costs=()), manifest=manifest())
    return run


def file_of(run: Run) -> dict[str, Any]:
    return json.loads(published(run).model_dump_json())


def leaves(found: Any, *path: str | int) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every value of a finding that is made of no others, with its path; read without pydantic."""
    if is_dataclass(found) and not isinstance(found, FeatureId):
        parts: Any = [(field.name, getattr(found, field.name)) for field in fields(found)]
    elif isinstance(found, dict):
        parts = [(str(key), value) for key, value in found.items()]
    elif isinstance(found, FeatureId):
        parts = [(0, found.layer), (1, found.index)]
    elif isinstance(found, list | tuple):
        parts = list(enumerate(found))
    else:
        yield path, found
        return
    for name, part in parts:
        yield from leaves(part, *path, name)


def at(written: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        written = written[step]
    return written


def expected(rows: dict[str, list[Any]]) -> dict[str, Any]:
    """Where in the file each finding must stand."""
    places: dict[str, Any] = {}
    for name, found in rows.items():
        by_prompt = isinstance(STAGE_OF[name], OfMany)
        places[OTHER_PLACE.get(name, name)] = found if by_prompt else found[0]
    pooled, *own = rows["interactions"]
    return places | {"interactions": pooled, "interactions_by_prompt": own}


def test_every_field_of_every_finding_reaches_the_file_as_itself(tmp_path: Path):
    numbers = primes()
    rows = rows_of_examples(numbers)
    written = file_of(run_of(tmp_path, rows))
    wrong = [
        (path, value)
        for place, found in expected(rows).items()
        for path, value in leaves(found, place)
        if at(written, path) != value
    ]
    assert not wrong, wrong[:5]
    Draft202012Validator(json.loads(schema())).validate(written)


def test_so_do_directions_that_were_discarded(tmp_path: Path):
    numbers = primes()
    rows = rows_of_examples(numbers)
    kept = {
        name: rows[name] for name in ("scores", "behaviour", "sae_quality", "absence", "claims")
    }
    found = NoDirection.example(numbers)
    kept["absence"] = [findings.Absence.example(numbers, kind=AbsenceKind.NO_DIRECTION)]
    written = file_of(run_of(tmp_path, kept | {"direction": [found]}))
    assert (written["direction"], written["candidates"]) == (None, None)
    for path, value in leaves(found, "discarded_directions"):
        assert at(written, path) == value, path


def test_no_key_of_the_file_is_left_without_a_finding():
    """So that a finding published under two names, or one that no stage makes, is seen."""
    places = set(expected(rows_of_examples(primes())))
    of_the_run = {"schema_version", "model", "saes", "prompts", "cost", "discarded_directions"}
    assert set(Findings.model_fields) == places | of_the_run


def test_every_key_of_the_file_is_served_by_a_property_or_by_a_function():
    keys = {name for name, field in Findings.model_fields.items() if field.is_required()}
    assert OTHERWISE.keys() <= keys, "a function for a key that the file does not have"
    assert all(hasattr(Run, key) for key in keys - OTHERWISE.keys())


@pytest.mark.parametrize("kind", LISTED, ids=lambda kind: kind.__name__)
def test_an_example_has_no_number_twice_and_comes_back_from_its_row(kind: Any):
    found = kind.example()
    numbers = [
        value for _, value in leaves(found) if type(value) in (int, float) and value is not True
    ]
    repeated = 1 if kind is findings.FlipScale else 0  # its scale is that of one of its points
    assert len(numbers) - len(set(numbers)) == repeated
    row = TypeAdapter(kind).dump_json(found, round_trip=True)
    assert TypeAdapter(kind).validate_json(row) == found


def test_prompts_and_cost_are_counted_as_their_names_say(tmp_path: Path):
    """Different counts for every label, split and outcome, so that no two can be mistaken."""
    groups = (
        ("audit", "harmful", 1.0, 7),
        ("audit", "harmful", -1.0, 5),
        ("audit", "harmless", 1.0, 2),
        ("audit", "harmless", -1.0, 11),
        ("train", "harmful", 1.0, 40),
        ("train", "harmless", 1.0, 60),
        ("audit", "safe_lookalike", 1.0, 4),
        ("audit", "safe_lookalike", -1.0, 5),
    )
    scores = [
        PromptScore(
            prompt_id=f"{split}-{label}-{score}-{i}",
            split=split,
            label=label,
            category="",
            score=score,
        )
        for split, label, score, n in groups
        for i in range(n)
    ]
    rows = rows_of_examples(primes())
    rows["scores"][0] += scores
    run = run_of(tmp_path, rows)
    stages = tuple(
        StageFacts(stage=name, forward_passes=passes, tokens=tokens, seconds=1.0)
        for name, passes, tokens in (("scores", 3, 100), ("direction", 10, 1000))
    )
    run.__dict__["manifest"] = manifest(stages=stages)
    written = file_of(run)
    assert written["prompts"] == {
        "harmful": 12,
        "harmless": 13,
        "refused_harmful": 7,
        "refused_harmless": 2,
        "safe_lookalikes": 9,
        "refused_lookalikes": 4,
    }
    assert written["cost"] == {"forward_passes": 13, "tokens": 1100}


def test_primes():
    assert list(islice(primes(), 10)) == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]


def test_names_that_other_programs_rely_on(tmp_path: Path):
    run = synthetic_run(tmp_path / "run")
    written = json.loads((run.folder / "findings.json").read_text())
    relied_on = {
        "model": "id revision sha256 n_layers d_model",
        "saes": "layer release id width architecture hook_name",
        "prompts": "harmful harmless refused_harmful refused_harmless",
        "direction": "method layer position bypass induce kl",
        "minimal_sets": "prompt_id features clean_score ablated_score flipped certified candidates",
        "interactions": "solver rank design r2_held_out r2_linear pairs",
        "cascades": "prompt_id waves depth compensation_ratio",
        "cost": "forward_passes tokens",
    }
    for place, names in relied_on.items():
        one = written[place][0] if isinstance(written[place], list) else written[place]
        assert set(names.split()) <= set(one), place
    selected = written["direction"]["selected"]
    for name in ("layer", "position", "bypass", "induce", "kl"):
        assert written["direction"][name] == selected[name], name
    pair = written["interactions"]["pairs"][0]
    assert {"a", "b", "weight", "low", "high", "kind"} <= set(pair)
    assert written["interactions"]["r2_held_out"] == written["interactions"]["r2"]["solver"]
    assert written["interactions"]["r2_linear"] == written["interactions"]["r2"]["linear"]
    assert {"features", "score_after"} <= set(written["cascades"][0]["waves"][0])
    (own, other), wrong = run.minimal_sets, "forward_passes"
    assert wrong not in written["minimal_sets"][0]
    assert (own.candidates, other.candidates) == (own.n_candidates, other.n_candidates)


def test_the_committed_schema_is_what_the_types_say():
    assert SCHEMA.read_text() == schema() + "\n", f"{SCHEMA} is out of date; run: {REWRITE}"


@pytest.mark.parametrize("written", [{"schema_version": 1}, {"schema_version": "2"}, {}, []])
def test_another_version_is_refused_in_a_sentence(tmp_path: Path, written: Any):
    path = tmp_path / "findings.json"
    path.write_text(json.dumps(written))
    with pytest.raises(AuditError, match=f"reads version {VERSION}; audit again") as refused:
        read_findings(path)
    assert "\n" not in str(refused.value)
