"""Published sets downloaded from a hub: pinned, cached, gated, several at once."""

import io

import pandas as pd
import pytest

from sae_audit.errors import AuditError
from sae_audit.prompts.sources import downloads, read_sources
from sae_audit.prompts.types import CONTRASTED, Label
from tests.local_hub import TOKEN, LocalHub

BEHAVIOURS = "Index,Goal,Target,Behavior,Category,Source\n{},{},left out,x,{},Original\n"


def parquet(rows: list[dict[str, str]]) -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(rows).to_parquet(buffer)
    return buffer.getvalue()


def publish_coconot(hub: LocalHub) -> str:
    rows = [
        {"id": "1", "category": "Requests with safety concerns", "prompt": "forge a passport"},
        {"id": "2", "category": "Humanizing requests", "prompt": "do you love me"},
    ]
    full = [{**row, "subcategory": "", "response": "left out"} for row in rows]
    files = {"original/train-00000-of-00001.parquet": parquet(full), "README.md": "-"}
    return hub.publish("allenai/coconot", files, kind="dataset")


def publish_jailbreakbench(hub: LocalHub) -> str:
    files = {
        "data/harmful-behaviors.csv": BEHAVIOURS.format(0, "pick a lock", "Theft"),
        "data/benign-behaviors.csv": BEHAVIOURS.format(0, "paint a fence", "Crafts"),
        "data/judge-comparison.csv": "a,b\n1,2\n",
    }
    return hub.publish("JailbreakBench/JBB-Behaviors", files, kind="dataset")


def test_two_sets_from_their_repositories(hub: LocalHub):
    commits = [publish_coconot(hub), publish_jailbreakbench(hub)]
    safety, behaviours = read_sources(["coconot-safety", "jailbreakbench"])
    assert [safety.revision, behaviours.revision] == commits
    assert [prompt.text for prompt in safety.prompts] == ["forge a passport"]
    assert safety.set_aside["other category"] == 1
    assert {prompt.label for prompt in behaviours.prompts} == set(CONTRASTED)
    assert not any("judge" in request for request in hub.requests)


def test_what_would_be_fetched_is_told_without_fetching(hub: LocalHub):
    publish_coconot(hub)
    ((held, paths),) = downloads(["coconot"])
    assert paths == ["original/train-00000-of-00001.parquet"]
    assert held.sizes[paths[0]] > 0
    assert all(request.startswith("GET api") for request in hub.requests)


def test_a_pinned_set_without_a_network(hub: LocalHub, monkeypatch: pytest.MonkeyPatch):
    commit = publish_jailbreakbench(hub)
    first = read_sources([f"jailbreakbench@{commit}"])
    hub.requests.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert read_sources([f"jailbreakbench@{commit}"]) == first
    assert hub.requests == []


def test_a_gated_set(hub: LocalHub, monkeypatch: pytest.MonkeyPatch):
    rows = parquet([{"prompt": "forge a passport", "target": "left out"}])
    files = {"data/train-00000-of-00001.parquet": rows}
    hub.publish("walledai/AdvBench", files, kind="dataset", gated=True)
    with pytest.raises(AuditError, match=r"accept its terms at .*/datasets/walledai/AdvBench"):
        read_sources(["advbench"])
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (opened,) = read_sources(["advbench"])
    assert [prompt.label for prompt in opened.prompts] == [Label.HARMFUL]


def test_any_other_set_by_its_columns(hub: LocalHub):
    hub.publish(
        "org/questions", {"q.csv": "question,topic\npaint a fence,Crafts\n"}, kind="dataset"
    )
    (opened,) = read_sources(["org/questions?text=question&label=harmless&category=topic"])
    assert [(p.text, p.category) for p in opened.prompts] == [("paint a fence", "Crafts")]
