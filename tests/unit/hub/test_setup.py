"""A token, an address or a proxy that cannot be meant is told before anything is asked."""

from pathlib import Path

import huggingface_hub.constants
import pytest
from huggingface_hub import close_session

from sae_audit.errors import AuditError
from sae_audit.hub import Repository, check_setup, known_token, listing
from sae_audit.planning.checks_hub import check_hub
from tests.acceptance.commands import command
from tests.local_hub import LocalHub

REPOSITORY = Repository(name="org/model", revision="main", kind="model")


def test_a_number_that_is_none_is_told_before_the_library_reads_it(tmp_path: Path):
    """In a process of its own: the library reads it once, when it is imported."""
    for name in ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"):
        done = command("doctor", cwd=tmp_path, **{name: "a while"})
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {name} is 'a while', where whole seconds are needed")
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [b"\xff\xfe", "t\u00f6k\u00e9n".encode()])
def test_a_token_file_that_holds_none(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
):
    file = tmp_path / "token"
    file.write_bytes(content)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(file))
    with pytest.raises(AuditError, match="The hub's token"):
        listing(REPOSITORY)
    assert hub.requests == []
    (check,) = check_hub(is_needed=True)
    assert check.status == "failed"
    assert "hub's token" in check.found


def test_a_home_of_the_library_that_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "home").write_text("")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(
        huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "home" / "token")
    )
    with pytest.raises(AuditError, match="cannot be read"):
        known_token()


def test_a_token_is_never_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "s\u00ebcret")
    with pytest.raises(AuditError) as refused:
        check_setup()
    assert "cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ALL_PROXY", "zzz://x"), ("HTTP_PROXY", "zzz://x"), ("ALL_PROXY", "socks5://x")],
)
def test_a_proxy_that_cannot_be_meant(monkeypatch: pytest.MonkeyPatch, variable: str, value: str):
    close_session()
    monkeypatch.setenv(variable, value)
    with pytest.raises(AuditError, match="correct the proxy"):
        listing(REPOSITORY)
    monkeypatch.delenv(variable)
    close_session()


def test_an_address_that_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:99999")
    with pytest.raises(AuditError, match="no address"):
        check_setup()
