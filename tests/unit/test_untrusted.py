"""Files from strangers are read within bounds, and what they say is shown without effect."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_audit.errors import AuditError
from sae_audit.untrusted import (
    parsed_json,
    parsed_yaml,
    read_bytes,
    read_text,
    shown,
    unprintable,
)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("plain", "plain"),
        ("Grüße, 你好, مرحبا 👩\u200d🚀", "Grüße, 你好, مرحبا 👩\u200d🚀"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        ("evil\u202etxt", "evil\\u202etxt"),
        ("half \ud83d", "half \\ud83d"),
        ("two\nlines", "two\\nlines"),
        ("nul \x00", "nul \\x00"),
    ],
)
def test_what_is_not_printed_is_spelled_out(text: str, printed: str) -> None:
    assert shown(text) == printed


@given(st.text(st.characters()))
def test_what_is_shown_can_be_printed(text: str) -> None:
    printed = shown(text)
    assert printed.encode("utf-8").decode("utf-8") == printed
    assert unprintable(printed) is None


def test_long_text_is_cut() -> None:
    assert len(shown("a" * 10_000)) < 300


def test_a_bomb_of_aliases_is_refused() -> None:
    bomb = "a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b]"
    with pytest.raises(AuditError, match=r"alias \*a is refused"):
        parsed_yaml(bomb, "settings")


@pytest.mark.parametrize("text", ["2026-99-99", "2026-01-01"])
def test_dates_stay_text(text: str) -> None:
    assert parsed_yaml(text, "settings") == text


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(AuditError, match="twice"):
        parsed_yaml("seed: 1\nseed: 2", "settings")


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a": 1, "a": true}',
        '{"a": 1, "a": 1.0}',
        '{"in": [{"a": [1], "b": 0, "a": [2]}]}',
        '{"a": 1, "a": 1, "a": 2}',
    ],
)
def test_a_key_with_two_values_is_refused(text: str) -> None:
    with pytest.raises(AuditError, match="the key 'a' two different values; remove one"):
        parsed_json(text, "config.json")


def test_a_key_that_says_the_same_twice_is_read() -> None:
    assert parsed_json('{"a": [1, NaN], "b": 2, "a": [1, NaN]}', "config.json")["b"] == 2


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[" * 100 + "]" * 100, "1" * 5_000, "{", "é\ud800"]
)
@pytest.mark.parametrize("parse", [parsed_json, parsed_yaml])
def test_what_exhausts_a_parser_ends_in_a_sentence(text: str, parse: object) -> None:
    assert callable(parse)
    try:
        parse(text, "the file")
    except AuditError as error:
        assert len(str(error)) < 500  # noqa: PT017 (some are plain text to YAML)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parsed_json, parsed_yaml):
        try:
            parse(text, "the file")
        except AuditError as error:
            assert str(error).startswith("the file")  # noqa: PT017


def test_pipes_folders_and_large_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"12345")
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    with pytest.raises(AuditError, match="pipe"):
        read_bytes(tmp_path / "pipe")
    with pytest.raises(AuditError, match="folder"):
        read_bytes(tmp_path)
    with pytest.raises(AuditError, match="at most"):
        read_bytes(tmp_path / "large", limit=4)
    with pytest.raises(AuditError, match="UTF-8"):
        read_text(tmp_path / "latin")
    with pytest.raises(AuditError, match="No file"):
        read_text(tmp_path / "none")
    with pytest.raises(AuditError, match="cannot be read"):
        read_text(Path("nul\x00"))
