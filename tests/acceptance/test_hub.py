"""A whole audit from a hub: planned, checked, fetched, audited, and repeated without a network."""

import json
from pathlib import Path

import pytest
import yaml

from sae_audit import load_run
from sae_audit.bundled import bundled_root
from tests.acceptance.commands import Inside, command
from tests.local_hub import LocalHub

SMALL = [
    "prompts.train=16",
    "prompts.validation=6",
    "prompts.audit=4",
    "layers=[0, 3]",
    "candidates.per_layer=6",
    "interactions.n_masks=64",
    "interactions.max_players=6",
    "controls.random_sets=1",
    "minimal.more_sets_budget=8",
    "ablation_scale.grid=2",
    "controls.random_directions=2",
    "evidence.null_dictionaries=1",
    "evidence.null_prompts=5",
]
NAMED = ["--model", "org/organism", "--saes", "org/saes", "--prompts", "org/prompts"]


def settings(*extra: str) -> list[str]:
    return [part for one in (*SMALL, *extra) for part in ("--set", one)]


@pytest.mark.slow
def test_from_the_plan_to_the_repetition(hub: LocalHub, tmp_path: Path, inside: Inside):
    organism = bundled_root() / "organism"
    commits = [
        hub.publish("org/organism", organism / "base"),
        hub.publish("org/saes", organism / "saes"),
        hub.publish(
            "org/prompts",
            {"prompts.jsonl": (organism / "prompts.jsonl").read_bytes()},
            kind="dataset",
        ),
    ]
    planned = inside("plan", *NAMED, *settings(), "--json", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    plan = json.loads(planned.stdout)
    assert plan["fits"]
    assert {one["commit"] for one in plan["downloads"]} == set(commits)
    assert all(one["missing_bytes"] > 0 for one in plan["downloads"] if one["purpose"] == "SAEs")

    checked = inside("doctor", *NAMED, *settings(), cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr

    fetched = inside("fetch", *NAMED, *settings(), cwd=tmp_path)
    assert fetched.returncode == 0, fetched.stderr
    assert "All that this audit needs is here." in fetched.stdout

    # The branches move on: what was fetched stays what is audited, network or none.
    hub.publish("org/organism", {"config.json": "{}"})
    hub.requests.clear()
    # In a process of its own, as the hub's library reads this when it is imported; one thread, as here.
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    given = ("--out", "run", "--table")
    done = command("audit", *NAMED, *settings(), *given, cwd=tmp_path, **offline)
    assert done.returncode == 0, done.stderr
    assert "explained variance" in done.stdout
    assert hub.requests == []
    run = load_run(tmp_path / "run")
    assert run.findings.model.revision == commits[0]
    assert {sae.revision for sae in run.findings.saes} == {commits[1]}
    assert [source.revision for source in run.manifest.prompt_sources] == [commits[2]]

    # The same command on line, with the branch elsewhere, still means the run that was begun.
    read_back = inside("audit", *NAMED, *settings(), "--out", "run", "--quiet", cwd=tmp_path)
    assert read_back.returncode == 0, read_back.stderr

    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["model"], config["revision"]) == ("org/organism", commits[0])
    assert config["saes"] == f"org/saes@{commits[1]}"
    assert config["prompts"]["sources"] == [f"org/prompts@{commits[2]}"]
    again = inside("audit", "run/config.yaml", "--out", "again", "--quiet", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert load_run(tmp_path / "again").findings.minimal_sets == run.findings.minimal_sets


def test_a_gated_model_ends_in_one_sentence(hub: LocalHub, tmp_path: Path, inside: Inside):
    hub.publish("org/organism", bundled_root() / "organism" / "base", gated=True)
    hub.publish("org/saes", bundled_root() / "organism" / "saes")
    prompts = str(bundled_root() / "organism" / "prompts.jsonl")
    named = ["--model", "org/organism", "--saes", "org/saes", "--prompts", prompts]
    done = inside("audit", *named, cwd=tmp_path)
    assert done.returncode == 2
    assert "error: org/organism is gated: accept its terms at" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_broken_download_can_be_resumed(hub: LocalHub, tmp_path: Path, inside: Inside):
    hub.publish("org/organism", bundled_root() / "organism" / "base")
    hub.publish("org/saes", bundled_root() / "organism" / "saes")
    prompts = str(bundled_root() / "organism" / "prompts.jsonl")
    named = ["--model", "org/organism", "--saes", "org/saes", "--prompts", prompts]
    with hub.breaking("model.safetensors", after=0):
        done = inside("fetch", *named, cwd=tmp_path)
    assert done.returncode == 3
    assert "broke off" in done.stderr
    assert "Run the same command again to resume." in done.stderr
    assert "Traceback" not in done.stderr
    assert inside("fetch", *named, cwd=tmp_path).returncode == 0


def test_the_catalog_is_listed_and_filtered(tmp_path: Path, inside: Inside):
    listed = inside("catalog", "--model", "gemma-2-2b-it", "--json", cwd=tmp_path)
    names = [suite["name"] for suite in json.loads(listed.stdout)]
    assert "gemma-scope-2b-res-16k" in names
    assert "llama-scope-res-8x" not in names
    one = inside("catalog", "llama-scope-res-8x", cwd=tmp_path)
    assert "Apache-2.0" in one.stdout
    none = inside("catalog", "--width", "7", cwd=tmp_path)
    assert none.returncode == 2
    assert "No suite of the catalog is like that" in none.stderr
