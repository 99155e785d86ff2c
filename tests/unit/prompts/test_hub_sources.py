"""Sources of the hub: which files are meant, at which commit, under which label. No network."""

from collections.abc import Callable
from pathlib import Path

import pandas
import pytest

from sae_audit import hub
from sae_audit.errors import AuditError
from sae_audit.prompts.known import known_sets
from sae_audit.prompts.sources import downloads, read_sources
from sae_audit.prompts.types import Label

COMMIT = "c" * 40
Publish = Callable[..., None]


@pytest.fixture
def fetched() -> list[str]:
    """Files that were downloaded."""
    return []


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetched: list[str]) -> Publish:
    """Put files of one column `prompt` into a repository of a hub that is a folder."""
    held: dict[str, dict[str, int]] = {}

    def listing(repository: hub.Repository) -> hub.Listing:
        assert repository.kind == "dataset"
        return hub.Listing(repository=repository, commit=COMMIT, sizes=held[repository.name])

    def fetch(found: hub.Listing, paths: list[str]) -> Path:
        fetched.extend(paths)
        return tmp_path / found.repository.name

    def published(name: str, **files: list[str]) -> None:
        held[name] = {"README.md": 1, "dataset_infos.json": 1}
        for path, texts in files.items():
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            rows = pandas.DataFrame({"prompt": texts})
            rows.to_parquet(file) if file.suffix == ".parquet" else rows.to_csv(file, index=False)
            held[name][path] = file.stat().st_size

    monkeypatch.setattr(hub, "listing", listing)
    monkeypatch.setattr(hub, "fetch", fetch)
    return published


def test_a_known_set_by_its_name(publish: Publish):
    publish("walledai/AdvBench", **{"data/train-00000-of-00001.parquet": ["Forge a coin"]})
    (source,) = read_sources(["advbench"])
    assert source.revision == COMMIT
    assert [file.name for file in source.files] == ["train-00000-of-00001.parquet"]
    prompt = source.prompts[0]
    assert (prompt.id, prompt.label, prompt.language) == ("advbench/1", "harmful", "en")
    assert read_sources(["walledai/AdvBench@v1"])[0].prompts == source.prompts
    assert read_sources(["AdvBench@v1"])[0].prompts == source.prompts


def test_harmbench_tells_its_kinds_apart_by_folder(publish: Publish):
    folders = ["standard", "contextual", "copyright"]
    files = {f"{folder}/train-00000-of-00001.parquet": [f"Do {folder}"] for folder in folders}
    publish("walledai/HarmBench", **files)
    (source,) = read_sources(["harmbench"])
    assert [p.id for p in source.prompts] == ["harmbench/standard/train-00000-of-00001/1"]
    assert source.set_aside == {"contextual": 1, "copyright": 1}
    assert len(read_sources(["harmbench?functional=all"])[0].prompts) == 3


def test_two_sets_of_one_repository(publish: Publish, fetched: list[str]):
    files = {
        "or-bench-80k.csv": ["Wash a car"],
        "or-bench-hard-1k.csv": ["Kill a process"],
        "or-bench-toxic.csv": ["Kill a man"],
    }
    publish("bench-llm/or-bench", **files)
    names = ["or-bench-hard", "or-bench-toxic"]
    ((found, paths),) = downloads(names)
    assert (found.commit, paths) == (COMMIT, ["or-bench-hard-1k.csv", "or-bench-toxic.csv"])
    assert fetched == []
    read = [p.label for source in read_sources(names) for p in source.prompts]
    assert read == ["safe_lookalike", "harmful"]
    with pytest.raises(AuditError, match="several sets; say or-bench-hard or or-bench-toxic"):
        read_sources(["bench-llm/or-bench"])
    (large,) = read_sources(["bench-llm/or-bench:or-bench-80k.csv"])
    assert [(p.id, p.label) for p in large.prompts] == [("bench-llm/or-bench/1", "safe_lookalike")]


def test_any_repository(publish: Publish):
    publish("me/mine", **{f"d/train-0000{i}-of-00002.parquet": [f"Ask {i}"] for i in range(2)})
    (source,) = read_sources(["me/mine@v2?text=prompt&label=harmful"])
    assert [p.id for p in source.prompts] == [
        f"me/mine/d/train-0000{i}-of-00002/1" for i in range(2)
    ]
    publish("me/two", **{"test.csv": ["Ask"], "train.csv": ["Ask"]})
    with pytest.raises(
        AuditError, match=r"several files \(test.csv, train.csv\); say which: me/two:test"
    ):
        read_sources(["me/two?label=harmful"])
    assert len(read_sources(["me/two:tr*.csv?label=harmful"])[0].prompts) == 1
    with pytest.raises(AuditError, match=r"has no file x.csv at commit cccccccccccc; .* test.csv"):
        downloads(["me/two:x.csv"])
    publish("me/none")
    with pytest.raises(AuditError, match="me/none has no file of prompts"):
        read_sources(["me/none"])


def test_files_of_this_machine_need_no_download(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("Ask\n")
    assert downloads([tmp_path / "mine.txt", "bundled:organism/prompts.jsonl"]) == []


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("polyrefuse", r"no confirmed home on the hub.* Give its files"),
        ("advbenhc", r"No prompt file advbenhc; .*\(advbench, harmbench"),
        ("data/prompts.jsonl", "No prompt file data/prompts.jsonl"),
        ("./data/prompts", "No prompt file"),
        ("bundled:organism/none.jsonl", "No prompt file bundled:"),
    ],
)
def test_names_that_lead_nowhere(name: str, complaint: str):
    with pytest.raises(AuditError, match=complaint):
        read_sources([name])


def test_every_known_set_says_what_it_is_and_the_page_says_it_too():
    page = (Path(__file__).parents[3] / "docs" / "prompts.md").read_text()
    for known in known_sets().values():
        assert known.label in {*Label, "both"}
        assert known.gated in {"yes", "no", "unknown"}
        assert bool(known.hub) == bool(known.files)
        row = next(line for line in page.splitlines() if line.startswith(f"| `{known.name}` |"))
        for said in (known.hub, known.label, known.licence, known.gated, known.note):
            assert said in row, (known.name, said)
