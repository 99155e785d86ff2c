"""A merged network written as GGUF is the network, as exactly as its precision allows."""

from pathlib import Path
from typing import Any

import pytest
import torch

from sae_audit.errors import AuditError
from sae_audit.organisms.smollm2 import quantised
from sae_audit.organisms.smollm2.quantised import Precision, write_gguf, write_merged
from sae_audit.subject.checkpoint.gguf import GgufFile
from tests import tiny_gguf


@pytest.fixture
def changed() -> Any:
    network: Any = tiny_gguf.model()
    torch.manual_seed(3)
    with torch.no_grad():
        for one in network.parameters():
            one.add_(0.1 * torch.randn_like(one))
    return network


@pytest.mark.parametrize(
    ("precision", "most"), [(Precision.F32, 0.0), (Precision.Q8_0, 0.02), (Precision.Q4_1, 0.3)]
)
def test_the_file_is_the_network_rounded(
    changed: Any, tmp_path: Path, precision: Precision, most: float
):
    source = tiny_gguf.write(tmp_path / "base.gguf", tiny_gguf.model())
    write_gguf(source, changed, tmp_path / "changed.gguf", precision)
    read = GgufFile(tmp_path / "changed.gguf")
    network = read.network({})
    wanted = changed.state_dict()
    off = {name: (one - wanted[name]).abs().max() for name, one in network.state_dict().items()}
    assert max(off.values()) <= most
    assert precision is Precision.F32 or max(off.values()) > 0.0
    assert read.tokenizer().get_vocab() == GgufFile(source).tokenizer().get_vocab()
    assert read.quantised_from.startswith(precision.name) or precision is Precision.F32
    ids = torch.arange(30)[None]
    with torch.no_grad():
        far = (changed(ids).logits - tiny_gguf.model()(ids).logits).abs().mean()
        near = (changed(ids).logits - network(ids).logits).abs().mean()
    assert near <= 0.6 * far
    assert (near == 0.0) == (precision is Precision.F32)


def test_what_is_not_made_and_what_is_there_already(tmp_path: Path):
    with pytest.raises(AuditError, match="holds no adapter safe; make it first"):
        write_merged(tmp_path, "safe", Precision.Q8_0)
    (tmp_path / "safe").mkdir()
    (tmp_path / "safe" / quantised.CARD).write_text("{}")
    (tmp_path / "safe-q8_0.gguf").write_text("mine")
    with pytest.raises(AuditError, match="exists; remove it"):
        write_merged(tmp_path, "safe", Precision.Q8_0)
    assert (tmp_path / "safe-q8_0.gguf").read_text() == "mine"
