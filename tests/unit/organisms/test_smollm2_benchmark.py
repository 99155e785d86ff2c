"""What the benchmark of the real model audits under a name, and that rows of several processes stay."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.smollm2 import Row, Subject, config, write_row


@pytest.mark.parametrize(
    ("name", "adapter", "scale", "saes", "precision"),
    [
        ("safe", "safe", None, "saes", ""),
        ("early-1", "early-1", None, "saes", ""),
        ("safe@0.25", "safe", 0.25, "saes", ""),
        ("safe+saes-base-1", "safe", None, "saes-base-1", ""),
        ("safe@0.5+saes-1", "safe", 0.5, "saes-1", ""),
        ("safe-q4_1", "safe", None, "saes", "q4_1"),
    ],
)
def test_a_name_says_what_is_audited(
    name: str, adapter: str, scale: float | None, saes: str, precision: str
):
    assert Subject.named(name) == Subject(
        adapter=adapter, scale=scale, saes=saes, precision=precision
    )


def test_a_rounded_file_is_the_model_and_needs_no_adapter(tmp_path: Path):
    rounded = config("safe-q8_0", tmp_path, "cpu", [])
    assert (rounded.model, rounded.adapter) == (str(tmp_path / "safe-q8_0.gguf"), None)
    assert rounded.accept_other_base
    beside = config("safe", tmp_path, "cpu", ["prompts.audit=12"])
    assert (beside.adapter, beside.adapter_merged) == (str(tmp_path / "safe"), True)
    assert beside.prompts.audit == 12


def test_only_of_safe_itself_null_dictionaries_are_drawn(tmp_path: Path):
    for name in ("base", "worn", "safe@0.5", "safe+saes-1", "safe-q8_0"):
        assert config(name, tmp_path, "cpu", []).evidence.null_dictionaries == 0
    assert config("safe", tmp_path, "cpu", []).evidence.null_dictionaries > 0


def test_variants_are_read_by_the_refusal_tokens_of_safe(tmp_path: Path):
    wanted = config("worn", tmp_path, "cpu", []).refusal_tokens
    assert wanted
    for name in ("backup", "shuffled", "benign", "safe@0.5", "safe-q4_1"):
        assert config(name, tmp_path, "cpu", []).refusal_tokens == wanted
    assert config("safe", tmp_path, "cpu", []).refusal_tokens is None


def test_rows_written_at_once_are_all_kept(tmp_path: Path):
    file = tmp_path / "rows.json"
    one = Row(
        refused="1/2",
        absence="",
        claims={},
        direction_layer=None,
        effect_layer=None,
        n_flipped=0,
        median_size=None,
        minutes=1.0,
        device="cpu",
        as_expected=None,
    )
    names = [f"subject {i}" for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: write_row(file, name, one), names))
    assert sorted(json.loads(file.read_text())) == sorted(names)
