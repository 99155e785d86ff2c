"""Whatever stands in a checkpoint's small files, opening it gives the checkpoint or one sentence."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sae_audit.errors import AuditError
from sae_audit.subject.checkpoint.checkpoint import Checkpoint, ModelOptions
from tests import tiny
from tests.unit.subject.test_adapters import trained

WORDS = st.text(max_size=12) | st.sampled_from(["", "\x1b[2J", "\u202e", "../..", "a\ud83d", "nan"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 400)
    | st.sampled_from([10**9, 10**30, -(10**12), 1e400, float("nan"), -0.5])
    | WORDS
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
RAW = st.binary(max_size=40) | st.sampled_from(
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe{}",
        b"[" * 5000,
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
        b'{"vocab_size": ' + b"9" * 5000 + b"}",
    ]
)
CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
SMALL = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    tiny.model("llama").save_pretrained(folder / "model")
    tiny.tokenizer().save_pretrained(folder / "model")
    trained(folder / "adapter")
    return folder


def opens(folder: Path) -> Checkpoint | None:
    """The checkpoint, its tokenizer read and its tensors foreseen; None where it was refused."""
    try:
        opened = Checkpoint(str(folder), ModelOptions())
        opened.tokenizer()
        opened.check_headers(opened.shapes)
        assert opened.precision("cpu").dtype
        assert len(opened.settings_sha256) == 64
    except AuditError as error:
        _is_a_sentence(error)
        return None
    return opened


def _is_a_sentence(error: AuditError) -> None:
    said = str(error)
    assert "\n" not in said, said
    assert "\x1b" not in said
    assert len(said) < 1200, said
    said.encode()


def _written(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


@settings(max_examples=60, deadline=None, suppress_health_check=CHECKS)
@given(data=st.data(), name=st.sampled_from(SMALL))
def test_one_small_file_changed(checkpoint: Path, data: st.DataObject, name: str):
    file = checkpoint / "model" / name
    own = file.read_bytes()
    content = json.loads(own)
    how = data.draw(st.sampled_from(["value", "nested", "key", "raw", "missing"]))
    try:
        if how == "raw":
            file.write_bytes(data.draw(RAW))
        elif how == "missing":
            file.unlink()
        else:
            at = content
            inner = [key for key, value in content.items() if isinstance(value, dict) and value]
            if how == "nested" and inner:
                at = content[data.draw(st.sampled_from(inner))]
            key = data.draw(WORDS) if how == "key" else data.draw(st.sampled_from(sorted(at)))
            at[key] = data.draw(VALUES)
            file.write_bytes(_written(content))
        opens(checkpoint / "model")
    finally:
        file.write_bytes(own)


@settings(max_examples=30, deadline=None, suppress_health_check=CHECKS)
@given(data=st.data())
def test_an_adapters_config_changed(checkpoint: Path, data: st.DataObject):
    file = checkpoint / "adapter" / "adapter_config.json"
    own = file.read_bytes()
    content = json.loads(own)
    try:
        if data.draw(st.booleans()):
            content[data.draw(st.sampled_from(sorted(content)))] = data.draw(VALUES)
            file.write_bytes(_written(content))
        else:
            file.write_bytes(data.draw(RAW))
        options = ModelOptions(adapter=str(checkpoint / "adapter"))
        try:
            Checkpoint(str(checkpoint / "model"), options).check_adapter_headers()
        except AuditError as error:
            _is_a_sentence(error)
    finally:
        file.write_bytes(own)


def test_the_unchanged_one_opens(checkpoint: Path):
    assert opens(checkpoint / "model") is not None


@pytest.mark.parametrize(
    "weights",
    [b"", b"\x00" * 8, b"\xff" * 40, (10**12).to_bytes(8, "little") + b"{}", b"\x08" + b"\0" * 7],
)
@pytest.mark.parametrize("part", ["model", "adapter"])
def test_weights_that_are_none(checkpoint: Path, tmp_path: Path, weights: bytes, part: str):
    folder = Path(shutil.copytree(checkpoint, tmp_path / "copy"))
    name = "model.safetensors" if part == "model" else "adapter_model.safetensors"
    (folder / part / name).write_bytes(weights)
    options = ModelOptions(adapter=str(folder / "adapter") if part == "adapter" else None)
    with pytest.raises(AuditError) as refused:
        Checkpoint(str(folder / "model"), options).network("cpu")
    _is_a_sentence(refused.value)
