"""The hub as it is met: pinned commits, gated repositories, broken connections, no network at all."""

import logging
from pathlib import Path

import pytest

from sae_audit import hub as downloads
from sae_audit.errors import AuditError, InterruptedDownloadError
from sae_audit.hub import Repository, as_repository, fetch, listing, missing_bytes
from tests.local_hub import TOKEN, LocalHub

NAME = "org/model"
THIS = Repository(name=NAME)


@pytest.mark.parametrize(
    ("location", "name", "revision"),
    [
        ("google/gemma-2-2b-it", "google/gemma-2-2b-it", "main"),
        ("org/name@v1.0", "org/name", "v1.0"),
        ("org/name@refs/pr/3", "org/name", "refs/pr/3"),
    ],
)
def test_names_of_repositories(location: str, name: str, revision: str):
    found = as_repository(location)
    assert found is not None
    assert (found.name, found.revision) == (name, revision)


@pytest.mark.parametrize("location", ["model", "./org/model", "/org/model", "a/b/c", "~/model"])
def test_paths_are_no_repositories(location: str):
    assert as_repository(location) is None


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "org" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert as_repository(NAME) is None


def test_files_are_those_of_the_commit_although_the_branch_moves_on(hub: LocalHub):
    first = hub.publish(NAME, {"a.txt": "old", "b.txt": "old"})
    held = listing(THIS)
    assert held.commit == first
    fetch(held, ["a.txt"])
    hub.publish(NAME, {"a.txt": "new", "b.txt": "new"})
    assert (fetch(held, ["a.txt", "b.txt"]) / "b.txt").read_text() == "old"
    assert (fetch(listing(THIS), ["b.txt"]) / "b.txt").read_text() == "new"


def test_nested_paths_give_the_root_of_the_commit(hub: LocalHub):
    hub.publish(NAME, {"x/y/z.txt": "deep", "a.txt": "flat"})
    folder = fetch(listing(THIS), ["x/y/z.txt", "a.txt"])
    assert (folder / "x" / "y" / "z.txt").read_text() == "deep"


def test_nothing_is_downloaded_twice(hub: LocalHub):
    hub.publish(NAME, {"weights.safetensors": b"w" * 1000})
    held = listing(THIS)
    assert missing_bytes(held, ["weights.safetensors"]) == 1000
    fetch(held, ["weights.safetensors"])
    assert missing_bytes(held, ["weights.safetensors"]) == 0
    hub.requests.clear()
    fetch(held, ["weights.safetensors"])
    assert hub.requests == []


def test_a_gated_repository_says_where_its_terms_are(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
):
    hub.publish(NAME, {"a.txt": "x"}, gated=True)
    held = listing(THIS)
    with pytest.raises(AuditError, match=r"accept its terms at .*/org/model, and log in"):
        fetch(held, ["a.txt"])
    monkeypatch.setenv("HF_TOKEN", "hf_somebodyelse")
    with pytest.raises(AuditError, match="use a token of the account that accepted them"):
        fetch(held, ["a.txt"])
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert (fetch(held, ["a.txt"]) / "a.txt").read_text() == "x"


def test_a_token_that_may_not_read_gated_repositories(hub: LocalHub):
    hub.publish(NAME, {"a.txt": "x"})
    hub.repositories["model", NAME].forbidden = True
    with pytest.raises(AuditError, match=r"let the token read gated repositories"):
        fetch(listing(THIS), ["a.txt"])


def test_looking_at_a_newer_commit_leaves_what_is_cached_usable(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
):
    first = hub.publish(NAME, {"a.txt": "old"})
    fetch(listing(THIS), ["a.txt"])
    assert hub.publish(NAME, {"a.txt": "new"}) == listing(THIS).commit
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert listing(THIS).commit == first


def test_a_cache_that_cannot_be_written(hub: LocalHub, monkeypatch: pytest.MonkeyPatch):
    hub.publish(NAME, {"a.txt": "x"})

    def refuse(*_args: object, **_options: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(AuditError, match=r"cannot be written \(Permission denied\).*HF_HOME"):
        fetch(listing(THIS), ["a.txt"])


def test_a_failure_of_the_large_file_library_resumes(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
):
    hub.publish(NAME, {"a.txt": "x"})

    def fail(*_args: object, **_options: object) -> str:
        raise RuntimeError("Data processing error: CAS service error : error sending request")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    with pytest.raises(InterruptedDownloadError, match="broke off: Data processing error"):
        fetch(listing(THIS), ["a.txt"])


def test_private_and_absent_look_alike(hub: LocalHub, monkeypatch: pytest.MonkeyPatch):
    hub.publish(NAME, {"a.txt": "x"}, private=True)
    for name in (NAME, "org/absent"):
        with pytest.raises(AuditError, match=f"no model {name}, or it is private"):
            listing(Repository(name=name))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert listing(THIS).sizes == {"a.txt": 1}


def test_a_revision_and_a_file_that_are_not_there(hub: LocalHub):
    hub.publish(NAME, {"a.txt": "x"})
    with pytest.raises(AuditError, match="org/model has no revision 'v9'"):
        listing(Repository(name=NAME, revision="v9"))
    with pytest.raises(AuditError, match=r"has no file b\.txt at commit .*; it has a\.txt"):
        fetch(listing(THIS), ["b.txt"])


def test_an_interrupted_download_is_resumed(hub: LocalHub, monkeypatch: pytest.MonkeyPatch):
    # The hub library keeps what came in whole chunks, and waits a second before it tries again.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    body = bytes(range(256)) * 400
    hub.publish(NAME, {"weights.safetensors": body})
    held = listing(THIS)
    with (
        hub.breaking("weights.safetensors", after=0),
        pytest.raises(InterruptedDownloadError, match=r"weights\.safetensors from org/model broke"),
    ):
        fetch(held, ["weights.safetensors"])
    with hub.breaking("weights.safetensors", after=30_000):
        fetch(held, ["weights.safetensors"])
    assert (fetch(held, ["weights.safetensors"]) / "weights.safetensors").read_bytes() == body


def test_offline_uses_the_cache_and_says_what_it_lacks(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
):
    commit = hub.publish(NAME, {"a.txt": "x", "b.txt": "y"})
    fetch(listing(THIS), ["a.txt"])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub.requests.clear()
    held = listing(THIS)
    assert (held.commit, held.from_cache, held.sizes) == (commit, True, {"a.txt": 1})
    assert (fetch(held, ["a.txt"]) / "a.txt").read_text() == "x"
    with pytest.raises(AuditError, match=r"The cache has no b\.txt of org/model at commit"):
        fetch(held, ["b.txt"])
    with pytest.raises(AuditError, match=r"no file c\.txt .* the cache has of it a\.txt"):
        fetch(held, ["c.txt"])
    with pytest.raises(AuditError, match="HF_HUB_OFFLINE forbids"):
        listing(Repository(name="org/other"))
    assert hub.requests == []


def test_an_unreachable_hub_is_told_and_the_cache_used(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    hub.publish(NAME, {"a.txt": "x"})
    fetch(listing(THIS), ["a.txt"])
    # A port that nobody listens on.
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", "http://127.0.0.1:9")
    with caplog.at_level(logging.WARNING):
        assert listing(THIS).from_cache
    assert "taken from the cache" in caplog.text
    with pytest.raises(AuditError, match=r"hub cannot be reached .* not in the cache; connect"):
        listing(Repository(name="org/other"))


def test_too_little_disk_is_known_before_the_download(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
):
    hub.publish(NAME, {"weights.safetensors": b"w" * 1000})
    monkeypatch.setattr("sae_audit.hub.downloads.free_disk_bytes", lambda: 500)
    with pytest.raises(AuditError, match=r"needs 0\.0 MB more on disk"):
        fetch(listing(THIS), ["weights.safetensors"])


def test_pickled_weights_are_refused(hub: LocalHub):
    hub.publish(NAME, {"pytorch_model.bin": b"x", "sub/model.safetensors": b"y"})
    with pytest.raises(AuditError, match=r"no \.safetensors weights; pickled ones can run code"):
        downloads.weight_files(listing(THIS))


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("is_offline", [False, True])
@pytest.mark.parametrize("name", ["örg/modèl", "org/--model", "org/model.git", f"{'o' * 97}/m"])
def test_a_name_that_no_repository_has_is_a_sentence_offline_too(
    monkeypatch: pytest.MonkeyPatch, name: str, is_offline: bool
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", is_offline)
    with pytest.raises(AuditError, match="is no name of a repository"):
        listing(Repository(name=name))
