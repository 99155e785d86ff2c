"""A hub that answers anything: every answer ends in a sentence, in time, and inside the cache."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sae_audit.errors import AuditError, AuditIncompleteError
from sae_audit.hub import (
    Repository,
    as_repository,
    bounded_session,
    fetch,
    listing,
    remote_tensor_shapes,
    sessions,
    tensor_shapes,
)
from sae_audit.hub.listings import home
from sae_audit.hub.repositories import is_relative
from sae_audit.untrusted import unprintable
from tests import hostile_answers
from tests.local_hub import LocalHub

NAME = "org/model"
THIS = Repository(name=NAME)
SECONDS = 4.0
"""Within which everything has to end, the limits being those of `quick`."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Limits that a test can wait for, and no pause before the library asks again."""
    from huggingface_hub import close_session

    for name, value in {
        "SILENCE_SECONDS": 0.3,
        "HEADER_SECONDS": 0.5,
        "ANSWER_SECONDS": 0.3,
        "ANSWER_BYTES": 1 << 20,
        "STALL_SECONDS": 0.3,
        "LONGEST_WAIT": 0,
    }.items():
        monkeypatch.setattr(sessions, name, value)
    monkeypatch.setattr("sae_audit.hub.listings.MOST_FILES", 2000)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_ETAG_TIMEOUT", 0.3)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    yield
    close_session()  # no later test gets a connection that has been broken here


def published(hub: LocalHub) -> str:
    return hub.publish(NAME, {"config.json": b"{}", "model.safetensors": b"s" * 300_000})


def ask() -> None:
    """All that an audit asks of a repository: its files, a small one, and a header."""
    held = listing(THIS)
    fetch(held, ["config.json"])
    remote_tensor_shapes(held, "model.safetensors")


def outside(folder: Path) -> set[Path]:
    """Everything around the cache that belongs to no repository."""
    around = {path for path in folder.rglob("*") if "models--org--model" not in path.parts}
    return {
        path for path in around if path.name not in {"hub", ".locks", "CACHEDIR.TAG", "version.txt"}
    }


@pytest.mark.parametrize(
    ("pattern", "script"),
    [pytest.param(*rest, id=name) for name, *rest in hostile_answers.answers()],
)
def test_every_answer_ends_in_a_sentence_in_time(
    hub: LocalHub, pattern: str, script: hostile_answers.Script
):
    published(hub)
    hub.scripted[pattern] = script
    folder = Path(os.environ["HF_HOME"])
    before, start = outside(folder), time.monotonic()
    with pytest.raises((AuditError, AuditIncompleteError)) as refused:
        ask()
    assert time.monotonic() - start < SECONDS
    assert unprintable(str(refused.value)) is None
    assert len(str(refused.value)) < 700
    assert outside(folder) == before


def test_the_same_answers_unchanged_are_taken(hub: LocalHub):
    published(hub)
    hub.scripted[hostile_answers.HEADER] = hostile_answers.tensor()
    held = listing(THIS)
    assert (fetch(held, ["config.json"]) / "config.json").read_bytes() == b"{}"
    assert remote_tensor_shapes(held, "model.safetensors") == {"w": [2, 2]}
    hub.scripted[hostile_answers.INFO] = hostile_answers.file("a/b.txt", 3)
    assert listing(THIS).sizes == {"a/b.txt": 3}
    hub.scripted[hostile_answers.HEAD] = hostile_answers.body(
        b"", length=2, head=True, ETag='"tag"', X_Repo_Commit=hostile_answers.ASKED_FOR
    )
    hub.scripted[hostile_answers.BODY] = hostile_answers.body(b"{}")
    assert fetch(held, ["config.json"]).is_dir()


def test_a_pinned_commit_is_the_one_that_is_answered(hub: LocalHub):
    hub.scripted[hostile_answers.INFO] = hostile_answers.info()
    assert listing(Repository(name=NAME, revision=hostile_answers.COMMIT)).sizes == {}
    with pytest.raises(AuditError, match=f"is of commit {hostile_answers.COMMIT}"):
        listing(Repository(name=NAME, revision="f" * 40))


def test_a_slow_download_that_comes_on_is_waited_for(hub: LocalHub):
    hub.publish(NAME, {"config.json": b"x" * 40_000})
    slow = hostile_answers.in_parts(b"x" * 40_000, n_parts=10, pause=0.1)
    hub.scripted[hostile_answers.BODY] = slow
    start = time.monotonic()
    fetch(listing(THIS), ["config.json"])
    assert time.monotonic() - start > 2 * sessions.STALL_SECONDS


def test_no_more_is_written_than_was_listed(hub: LocalHub):
    published(hub)
    hub.scripted[hostile_answers.BODY] = hostile_answers.endless(b"x" * 65536)
    with pytest.raises(AuditError, match=r"sends more of config\.json than the 2 bytes"):
        fetch(listing(THIS), ["config.json"])
    left = [path for path in home(THIS).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in left) < 1 << 20


def test_the_session_that_a_user_set_stays_behind_the_bounds():
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http, get_session

    kept = _http._GLOBAL_CLIENT_FACTORY

    def theirs() -> Any:
        client = _http.default_client_factory()
        client.headers["X-Proxy"] = "ours"
        return client

    try:
        set_client_factory(theirs)
        assert bounded_session().headers["X-Proxy"] == "ours"
        assert get_session() is bounded_session()
    finally:
        set_client_factory(kept)


@pytest.mark.parametrize(
    "location",
    ["org/name@../../x", "org/name@a/../../x", "org/name@/etc", "org/name@..", "org/name@a//b"],
)
def test_a_revision_that_leaves_the_repository_is_refused(location: str):
    with pytest.raises(AuditError, match=r"holds no '\.\.' and does not begin with '/'"):
        as_repository(location)


@pytest.mark.parametrize("name", ["../x", "org/..", "/org", "org\\x", "org/a\x00", "org/\x1b[2J"])
def test_a_repository_has_a_name(name: str):
    with pytest.raises(AuditError, match="is no name of a repository"):
        Repository(name=name)
    assert as_repository(name) is None


@pytest.mark.parametrize("name", ["org/a--b", "org/name.git", "org/" + "x" * 200])
def test_a_name_that_the_hub_does_not_know_is_refused_in_a_sentence(name: str):
    with pytest.raises(AuditError, match="is no name of a repository"):
        listing(Repository(name=name))


class TestCache:
    """What lies in the cache may come from someone else too."""

    def test_a_reference_that_is_a_path(self, hub: LocalHub, monkeypatch: pytest.MonkeyPatch):
        published(hub)
        fetch(listing(THIS), ["config.json"])
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        assert listing(THIS).from_cache
        for text in ("../../x", "\x00", "\xff", "", "main"):
            (home(THIS) / "refs" / "main").write_bytes(text.encode("latin-1"))
            with pytest.raises(AuditError, match="is not in the cache"):
                listing(THIS)

    def test_a_link_out_of_the_cache(
        self, hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        commit = published(hub)
        folder = fetch(listing(THIS), ["config.json"])
        secret = tmp_path / "secret"
        secret.write_text("secret")
        (folder / "other.json").symlink_to(secret)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(AuditError, match=r"other\.json in the hub's cache is a link to"):
            listing(Repository(name=NAME, revision=commit))

    def test_a_reference_is_replaced_and_not_written_through(self, hub: LocalHub, tmp_path: Path):
        commit = published(hub)
        target = tmp_path / "thesis.tex"
        target.write_text("mine")
        reference = home(THIS) / "refs" / "main"
        reference.parent.mkdir(parents=True)
        reference.symlink_to(target)
        fetch(listing(THIS), ["config.json"])
        assert target.read_text() == "mine"
        assert reference.read_text() == commit


class TestTensorHeaders:
    def test_of_a_file_here(self, tmp_path: Path):
        import torch
        from safetensors.torch import save_file

        file = tmp_path / "a.safetensors"
        save_file(
            {"w": torch.zeros(2, 3), "e": torch.zeros(0), "b": torch.zeros(4).bfloat16()}, file
        )
        assert tensor_shapes(file) == {"w": [2, 3], "e": [0], "b": [4]}
        whole = file.read_bytes()
        file.write_bytes(whole[:-1])
        with pytest.raises(AuditError, match="does not fit into the file"):
            tensor_shapes(file)

    @pytest.mark.parametrize("data", [b"", b"abc", b"\xff" * 8, b"\xff" * 100, bytes(8) + b"{}"])
    def test_of_no_such_file(self, tmp_path: Path, data: bytes):
        (tmp_path / "a.safetensors").write_bytes(data)
        with pytest.raises(AuditError, match="is no safetensors file"):
            tensor_shapes(tmp_path / "a.safetensors")

    def test_of_no_file(self, tmp_path: Path):
        with pytest.raises(AuditError, match="cannot be read"):
            tensor_shapes(tmp_path / "a.safetensors")


words = st.text(max_size=6) | st.sampled_from(
    ["../x", "main", "config.json", hostile_answers.COMMIT]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["sha", "siblings", "rfilename", "size"]) | words, inner)
    ),
    max_leaves=8,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(said=anything, files=st.lists(anything, max_size=3), path=words, size=anything)
def test_any_json_is_a_listing_or_a_sentence(
    hub: LocalHub, said: object, files: list[object], path: str, size: object
):
    for answer in (
        hostile_answers.said(said),
        hostile_answers.info(siblings=files),
        hostile_answers.info(siblings=[{"rfilename": path, "size": size}]),
    ):
        hub.scripted[hostile_answers.INFO] = answer
        try:
            held = listing(THIS)
        except AuditError:
            continue
        assert all(is_relative(name) and n >= 0 for name, n in held.sizes.items())
