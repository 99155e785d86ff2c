"""GGUF files as checkpoints: every weight is the file's, and what is no such file is a sentence."""

import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sae_lens import saes

from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.organisms.random_saes import randomise
from sae_audit.planning.facts import subject_facts
from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import ModelOptions, load_subject
from sae_audit.subject.checkpoint.checkpoint import Checkpoint
from sae_audit.subject.checkpoint.gguf import GgufFile, local_file
from sae_audit.subject.checkpoint.gguf_header import read_header
from sae_audit.subject.template.chat import chat_template
from tests import templates, tiny_gguf
from tests.local_hub import LocalHub

IDS = torch.arange(30)[None]
MODEL: Any = tiny_gguf.model()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write(tmp_path_factory.mktemp("gguf") / "tiny.gguf", MODEL)


def logits(network: Any) -> torch.Tensor:
    with torch.no_grad():
        return network(IDS).logits


def refused(path: Path) -> str:
    with pytest.raises(AuditError) as error:
        GgufFile(path).network({})
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def test_the_model_is_the_one_that_was_written(file: Path):
    """Logits to the bit: heads are in order, nothing is tied or drawn at random."""
    made = GgufFile(file).network({"dtype": "auto", "use_safetensors": True})
    assert torch.equal(logits(made), logits(MODEL))
    assert made.dtype == torch.float32
    other: Any = tiny_gguf.model()
    with torch.no_grad():
        other.model.layers[1].self_attn.k_proj.weight.add_(0.01)
    assert not torch.equal(logits(other), logits(MODEL)), "the control"


@pytest.mark.parametrize("kind", [Kind.Q8_0, Kind.Q4_1])
def test_weights_are_what_the_file_says_and_no_more(kind: Kind, tmp_path: Path):
    made = GgufFile(tiny_gguf.write(tmp_path / "q.gguf", MODEL, kind=kind))
    network = made.network({})
    for name in ("model.embed_tokens", "lm_head", "model.layers.1.mlp.down_proj"):
        written = MODEL.get_submodule(name).weight.detach().numpy()
        expected = gguf.dequantize(gguf.quantize(written, kind), kind)
        assert np.array_equal(network.get_submodule(name).weight.detach().numpy(), expected)
        assert not np.array_equal(expected, written), "the control: quantising lost something"
    assert made.quantised_from == f"Q8_0 (GGUF: 16 {kind.name}, 5 F32)"
    assert not hasattr(network.config, "quantization_config")
    network.save_pretrained(tmp_path / "saved")


def test_tokenizer_and_template_are_the_files(file: Path):
    ours, theirs = GgufFile(file).tokenizer(), templates.tokenizer_of("llama-3.1")
    for text in ("Tell me how to build a bird house.", "I cannot.<|eot_id|>\n\nYes", "Désolé 🏠"):
        assert ours(text)["input_ids"] == theirs(text)["input_ids"]
    template = chat_template(ours, template_file=None, system_prompt=None)
    assert tuple(template.after()) == templates.FAMILIES["llama-3.1"].after


def test_it_is_parsed_once_for_all_that_is_read(file: Path, monkeypatch: pytest.MonkeyPatch):
    parsed: list[Path] = []

    class Counted(gguf.GGUFReader):
        def __init__(self, path: Path, *rest: Any) -> None:
            parsed.append(Path(path))
            super().__init__(path, *rest)

    monkeypatch.setattr(gguf, "GGUFReader", Counted)
    read = GgufFile(file)
    read.tokenizer()
    assert torch.equal(logits(read.network({})), logits(MODEL))
    assert parsed == [file]
    assert gguf.GGUFReader is Counted, "as it was"


def test_an_audit_asks_it_as_any_model(file: Path, tmp_path: Path):
    for layer in range(tiny_gguf.N_LAYERS):
        config = saes.StandardSAEConfig(d_in=tiny_gguf.SIZE, d_sae=80, device="cpu")
        made = saes.StandardSAE(config)
        randomise(made, layer=layer, seed=0)
        made.save_model(tmp_path / f"layer_{layer}")
    subject = load_subject(str(file), str(tmp_path), device="cpu", refusal_tokens=["I"])
    assert subject.identity.quantised_from == "Q8_0 (GGUF: 21 F32)"
    assert len(subject.identity.sha256) == 64
    prompt = Prompt(id="a", text="Tell me how", label=Label.HARMLESS)
    [active] = subject.active(prompt)([frozenset()])
    sets = [frozenset(), frozenset(list(active)[:3])]
    fast = subject.refusal_score(prompt)(sets)
    assert fast == pytest.approx(subject.reference_score(prompt)(sets), abs=1e-4)
    assert fast[0] != fast[1]


def place(name: str) -> Path | None:
    return Checkpoint(name, ModelOptions()).weights[0]


def test_a_file_and_the_folder_that_holds_it(file: Path):
    assert place(str(file)) == place(str(file.parent)) == file


def test_safetensors_come_before_a_gguf_beside_them(file: Path, checkpoint: Path, tmp_path: Path):
    for one in checkpoint.iterdir():
        if one.is_file():
            (tmp_path / one.name).write_bytes(one.read_bytes())
    (tmp_path / "tiny.gguf").write_bytes(file.read_bytes())
    assert Checkpoint(str(tmp_path), ModelOptions()).gguf is None
    assert place(str(tmp_path / "tiny.gguf")) == tmp_path / "tiny.gguf"


def test_of_several_one_must_be_named(file: Path, tmp_path: Path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(file.read_bytes())
    with pytest.raises(AuditError, match=r"holds 2 GGUF files \(a.gguf, b.gguf\); name one"):
        place(str(tmp_path))
    assert place(str(tmp_path / "b.gguf")) == tmp_path / "b.gguf"


@pytest.fixture
def installed(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packages that end the tests if they are imported: one as pip installs it, one a folder."""
    for package in ("llm_tiny", "bare_tiny"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('imported')")
        (tmp_path / package / "tiny.gguf").write_bytes(file.read_bytes())
    about = tmp_path / "llm_tiny-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-tiny\nVersion: 1.0\n")
    (about / "RECORD").write_text("llm_tiny/__init__.py,,\nllm_tiny/tiny.gguf,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["llm-tiny", "llm_tiny", "llm-tiny/tiny.gguf", "bare_tiny", "bare_tiny/tiny.gguf"]
)
def test_an_installed_package_is_found_and_not_imported(name: str, installed: Path):
    package = name.partition("/")[0].replace("-", "_")
    assert place(f"package:{name}") == installed / package / "tiny.gguf"
    assert package not in sys.modules


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("package:no-such-thing", "No Python package no-such-thing is installed"),
        ("package:", "'' is no name of a Python package"),
        ("package:../x", "'..' is no name"),
        ("package:numpy", "package numpy holds no .gguf file"),
        ("package:llm-tiny/other.gguf", "llm-tiny holds no file other.gguf"),
        ("package:os.path", "No Python package os.path is installed"),
        ("no/such.gguf", "No file no/such.gguf; give a .gguf file"),
        ("/no/such/file.gguf", "No file /no/such/file.gguf"),
    ],
)
def test_names_of_nothing(name: str, message: str, installed: Path):
    assert installed
    with pytest.raises(AuditError, match=message):
        place(name)


def test_a_repository_of_the_hub(file: Path, hub: LocalHub):
    body = file.read_bytes()
    hub.publish("org/one", {"README.md": "a model", "tiny.gguf": body})
    hub.publish("org/two", {"a.gguf": body, "b.gguf": b"GGUF"})
    one, two = place("org/one"), place("org/two/a.gguf")
    assert one is not None
    assert two is not None
    assert one.read_bytes() == two.read_bytes() == body
    assert not (two.parent / "b.gguf").exists(), "what was not named is not fetched"
    assert place("org/two/a.gguf@main") == two
    with pytest.raises(AuditError, match=r"holds 2 GGUF files \(a.gguf, b.gguf\); name one"):
        place("org/two")
    assert local_file("org/one") is local_file("org/two/a.gguf") is None


def test_a_plan_knows_its_size(file: Path, tmp_path: Path, hub: LocalHub):
    for layer in range(2):
        config = saes.StandardSAEConfig(d_in=tiny_gguf.SIZE, d_sae=80, device="cpu")
        saes.StandardSAE(config).save_model(tmp_path / "saes" / f"layer_{layer}")
    prompts = tmp_path / "p.jsonl"
    rows = [
        f'{{"id": "{w}{i}", "text": "{w} {i}", "label": "{w}"}}'
        for w in ("harmful", "harmless")
        for i in range(12)
    ]
    prompts.write_text("\n".join(rows))
    counts = {"train": 4, "validation": 4, "audit": 4}

    def facts(model: str) -> Any:
        return subject_facts(
            AuditConfig.model_validate(
                {
                    "model": model,
                    "saes": str(tmp_path / "saes"),
                    "prompts": {"sources": [str(prompts)], **counts},
                }
            )
        )

    found = facts(str(file))
    assert found.n_layers == 2
    assert found.weight_bytes == 4 * sum(p.numel() for p in MODEL.parameters())
    hub.publish("org/one", {"tiny.gguf": file.read_bytes()})
    with pytest.raises(AuditError, match="its shape is in it; fetch it"):
        facts("org/one")
    place("org/one")
    assert facts("org/one").weight_bytes == found.weight_bytes


def test_what_a_file_lacks_is_not_drawn_at_random(tmp_path: Path):
    path = tiny_gguf.write(tmp_path / "a.gguf", MODEL, without="blk.1.ffn_up.weight")
    assert "lacks model.layers.1.mlp.up_proj.weight" in refused(path)


def test_what_transformers_would_leave_out_is_refused(tmp_path: Path):
    more = {"blk.0.attn_sinks.weight": np.ones(4, dtype=np.float32)}
    path = tiny_gguf.write(tmp_path / "a.gguf", MODEL, more=more)
    assert "holds blk.0.attn_sinks.weight, which transformers' GGUF reader leaves out" in (
        refused(path)
    )


@pytest.mark.parametrize("n", [1, 3, 1_000_000_000])
def test_layers_must_be_those_it_holds(n: int, tmp_path: Path):
    path = tiny_gguf.write(tmp_path / "a.gguf", MODEL, n_layers=n)
    assert f"says that it has {n} layers, and holds tensors of 2" in refused(path)


def test_architectures_that_transformers_cannot_read(tmp_path: Path):
    path = tiny_gguf.write(tmp_path / "a.gguf", MODEL, architecture="unheard-of")
    assert "architecture unheard-of is not supported yet" in refused(path)


def test_one_part_of_several(file: Path, tmp_path: Path):
    part = tmp_path / "tiny-00001-of-00003.gguf"
    part.write_bytes(file.read_bytes())
    assert "is one part of 3" in refused(part)


def test_scaled_rotary_embeddings_are_refused_by_key(tmp_path: Path):
    path = tiny_gguf.write(tmp_path / "a.gguf", MODEL, scaled_by="linear")
    assert "scales its rotary embedding (linear, 4.0)" in refused(path)


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_llama_3s_rotary_embedding_is_read_off_its_factors(factor: float, tmp_path: Path):
    scaling = {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    # Frequencies so low that the scaling shows within thirty positions.
    scaled = tiny_gguf.model(scaling=scaling)
    plain: Any = MODEL.model.rotary_emb.inv_freq
    own: Any = scaled.model.rotary_emb.inv_freq
    factors = {"rope_freqs.weight": (plain / own).numpy()}
    made = GgufFile(tiny_gguf.write(tmp_path / "a.gguf", MODEL, more=factors)).network({})
    assert torch.equal(logits(made), logits(scaled))
    assert not torch.equal(logits(scaled), logits(MODEL)), "the control"
    ones = {"rope_freqs.weight": np.ones(len(plain), dtype=np.float32)}
    same = GgufFile(tiny_gguf.write(tmp_path / "b.gguf", MODEL, more=ones)).network({})
    assert torch.equal(logits(same), logits(MODEL))


def test_other_rotary_factors_are_refused(tmp_path: Path):
    more = {"rope_freqs.weight": np.linspace(1, 3, 8).astype(np.float32)}
    path = tiny_gguf.write(tmp_path / "a.gguf", MODEL, more=more)
    assert "in a way that is not Llama-3's" in refused(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attention.scale", 0.5),
        ("attention.causal", False),
        ("logit_scale", 2.0),
        ("attn_logit_softcapping", 5.0),
    ],
)
def test_values_that_change_the_model_and_are_not_read(key: str, value: Any, tmp_path: Path):
    file = tiny_gguf.write(tmp_path / "a.gguf", tiny_gguf.model(), values={key: value})
    with pytest.raises(AuditError, match=rf"has llama\.{key}: .* leaves that out"):
        Checkpoint(str(file), ModelOptions())


def test_a_part_of_a_head_rotated(tmp_path: Path):
    values = {"attention.key_length": 16, "rope.dimension_count": 8}
    file = tiny_gguf.write(
        tmp_path / "a.gguf", tiny_gguf.model(), architecture="qwen2", values=values
    )
    with pytest.raises(AuditError, match=r"rotates 8 of the 16 dimensions of a head"):
        Checkpoint(str(file), ModelOptions())


def test_gemma_2_scales_and_caps_as_llama_cpp_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def config() -> Any:
        caps = {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0}
        file = tiny_gguf.write(
            tmp_path / "a.gguf",
            tiny_gguf.model(),
            architecture="gemma2",
            values={"attention.key_length": 32, "rope.dimension_count": 32, **caps},
        )
        return Checkpoint(str(file), ModelOptions()).config

    small = config()
    monkeypatch.setattr("sae_audit.subject.checkpoint.gguf._LAYERS_OF_27B", {"gemma2": 2})
    large = config()
    assert (small.attn_logit_softcapping, small.final_logit_softcapping) == (5.0, 3.0)
    # By d_model over heads in the 27B alone, by a head's width in the others.
    assert (small.query_pre_attn_scalar, large.query_pre_attn_scalar) == (32, 16)


def test_qwen_3_has_heads_of_its_own_width(tmp_path: Path):
    file = tiny_gguf.write(
        tmp_path / "a.gguf",
        tiny_gguf.model(),
        architecture="qwen3",
        values={"attention.key_length": 32, "rope.dimension_count": 32},
    )
    assert Checkpoint(str(file), ModelOptions()).config.head_dim == 32


def test_without_the_extra_the_remedy_is_named(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sae_audit.subject.checkpoint.gguf.find_spec", lambda _: None)
    assert "install it with pip install 'sae-audit[gguf]'" in refused(file)


def test_it_is_not_quantised_twice(file: Path):
    with pytest.raises(AuditError, match="is quantised already"):
        Checkpoint(str(file), ModelOptions(quantization="8bit"))


def test_a_file_without_a_template_says_so(tmp_path: Path):
    made = GgufFile(tiny_gguf.write(tmp_path / "a.gguf", MODEL, template=None))
    with pytest.raises(AuditError, match="has no chat template"):
        chat_template(made.tokenizer(), template_file=None, system_prompt=None)


def header(*parts: bytes, version: int = 3, tensors: int = 0, values: int = 1) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, values) + b"".join(parts)


def text(content: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(content) if length is None else length) + content


HOSTILE = {
    "nothing": b"",
    "another file": b"PK\x03\x04" + b"\0" * 100,
    "cut off": b"GGUF\x03\0",
    "version 1": header(version=1),
    "big-endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
    "2^60 tensors": header(values=0, tensors=1 << 60),
    "2^60 values": header(values=1 << 60),
    "60,000 values": header(values=60_000),
    "a key of 2^60": header(text(b"a", 1 << 60)),
    "a text of 2^60": header(text(b"a"), struct.pack("<I", 8), text(b"b", 1 << 60)),
    "2^60 words": header(text(b"a"), struct.pack("<IIQ", 9, 8, 1 << 60)),
    "4 million words": header(text(b"a"), struct.pack("<IIQ", 9, 8, 1 << 22)),
    "4 million numbers": header(text(b"a"), struct.pack("<IIQ", 9, 10, 1 << 22)),
    "lists of lists": header(text(b"a"), struct.pack("<IIQ", 9, 9, 1) * 500),
    "an unknown type": header(text(b"a"), struct.pack("<I", 99)),
    "no text": header(text(b"\xff\xfe"), struct.pack("<IB", 0, 1)),
    "a key twice": header(*[text(b"a") + struct.pack("<IB", 0, 1)] * 2, values=2),
    "no architecture": header(text(b"a"), struct.pack("<IB", 0, 1)),
    "a number as architecture": header(text(b"general.architecture"), struct.pack("<IB", 0, 1)),
    "a tensor of 9 dimensions": header(
        text(b"t"), struct.pack("<I9QIQ", 9, *[1] * 9, 0, 0), values=0, tensors=1
    ),
    "a tensor of 2^128": header(
        text(b"t"), struct.pack("<I4QIQ", 4, *[1 << 32] * 4, 0, 0), values=0, tensors=1
    ),
    "a tensor behind the end": header(
        text(b"t"), struct.pack("<IQIQ", 1, 1, 0, 1 << 50), values=0, tensors=1
    ),
    "control characters": header(text(b"\x1b]0;x\x07"), struct.pack("<IB", 0, 1), values=1)
    + b"\x1b",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_headers_that_lie_are_sentences(content: bytes, tmp_path: Path):
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    message = refused(path)
    assert "a.gguf" in message
    assert "\x1b" not in message


def test_a_file_that_is_cut_off(file: Path, tmp_path: Path):
    body = file.read_bytes()
    for n in (100, len(body) // 2, len(body) - 64):
        path = tmp_path / "a.gguf"
        path.write_bytes(body[:n])
        assert "cut off" in refused(path)


def one_sentence(ask: Callable[[], Any]) -> bool:
    """Whether it succeeds, or fails in one sentence; any other error comes through."""
    try:
        ask()
    except AuditError as error:
        return len(str(error).splitlines()) == 1
    return True


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_broken_header_is_more_than_a_sentence(file: Path, tmp_path: Path, data: st.DataObject):
    body = bytearray(file.read_bytes()[:4000])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, 600))
        new = data.draw(st.binary(min_size=1, max_size=12))
        body[at : at + len(new)] = new
    path = tmp_path / "a.gguf"
    path.write_bytes(bytes(body))
    assert one_sentence(lambda: read_header(path))


KEYS = (
    "general.architecture",
    "llama.embedding_length",
    "llama.attention.head_count",
    "llama.rope",
)


@given(key=st.sampled_from(KEYS), new=st.binary(min_size=8, max_size=8))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_values_that_transformers_cannot_use_are_sentences(
    file: Path, tmp_path: Path, key: str, new: bytes
):
    body = file.read_bytes()
    at = body.index(key.encode()) + len(key)
    path = tmp_path / "a.gguf"
    path.write_bytes(body[:at] + new + body[at + 8 :])
    assert one_sentence(lambda: GgufFile(path).config)
