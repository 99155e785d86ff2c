"""Configs and weights from anyone: read as sae_lens reads them, or refused in a sentence."""

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from sae_audit.catalog import read_catalog
from sae_audit.errors import AuditError
from sae_audit.subject.saes.files import fetch_sae, read_sae, sae_config
from sae_audit.subject.saes.places import SaePlace, sae_places
from sae_audit.subject.saes.suite import check_place
from sae_audit.untrusted import unprintable
from tests import published, tiny
from tests.local_hub import LocalHub

OLD = {
    "hook_point": "blocks.1.hook_resid_post",
    "hook_point_layer": 1,
    "d_in": tiny.D_MODEL,
    "d_sae": tiny.D_SAE,
    "dtype": "torch.float32",
    "model_name": "x",
}
"""As sae_lens wrote it before mid-2024."""
MIDDLE = {
    **{key: value for key, value in OLD.items() if not key.startswith("hook")},
    "architecture": "standard",
    "hook_name": "blocks.1.hook_resid_post",
    "hook_layer": 1,
    "hook_head_index": None,
    "activation_fn_str": "relu",
    "activation_fn_kwargs": {},
    "apply_b_dec_to_input": True,
    "finetuning_scaling_factor": False,
    "normalize_activations": "none",
    "context_size": 1024,
    "prepend_bos": True,
    "dataset_path": "x",
    "noise_scale": 0.5,
    "seqpos_slice": [None],
    "model_from_pretrained_kwargs": {},
    "sae_lens_training_version": "3.5.0",
}
NEW = {
    "architecture": "standard",
    "d_in": tiny.D_MODEL,
    "d_sae": tiny.D_SAE,
    "dtype": "float32",
    "device": "cuda",
    "apply_b_dec_to_input": False,
    "normalize_activations": "none",
    "reshape_activations": "none",
    "metadata": {"sae_lens_version": "6.54.12", "hook_name": "blocks.1.hook_resid_post"},
}
FORMS = {"before mid-2024": OLD, "before version 6": MIDDLE, "since version 6": NEW}


def saved(folder: Path, config: Any, kind: str = "standard", **tensors: torch.Tensor) -> SaePlace:
    """A random SAE in sae_lens' format with this config, and perhaps other tensors."""
    place = folder / "layer_1"
    tiny.sae(kind, 1).save_model(place)
    weights = load_file(place / "sae_weights.safetensors")
    save_file({**weights, **tensors}, place / "sae_weights.safetensors")
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    (place / "cfg.json").write_bytes(text)
    (found,) = sae_places(str(folder), catalog=[])
    return found


def read(place: SaePlace) -> Any:
    config = sae_config(place)
    check_place(place, config, n_layers=3, d_model=tiny.D_MODEL)
    return read_sae(place, device="cpu")[0]


def encoded(**changed: bool) -> torch.Tensor:
    own = tiny.sae("standard", 1)
    shift = own.b_dec if changed.get("subtracts", True) else 0.0
    return ((stream() - shift) @ own.W_enc + own.b_enc).relu()


def stream() -> torch.Tensor:
    return torch.randn(4, tiny.D_MODEL, generator=torch.manual_seed(5))


class TestEveryFormOfConfig:
    @pytest.mark.parametrize("form", FORMS)
    def test_is_read_as_sae_lens_reads_it(self, tmp_path: Path, form: str):
        place = saved(tmp_path, FORMS[form])
        assert sae_config(place).architecture == "standard"
        assert sae_config(place).hook == "blocks.1.hook_resid_post"
        sae = read(place)
        expected = encoded(subtracts=form != "since version 6")
        torch.testing.assert_close(sae.encode(stream()), expected)

    def test_centred_weights_are_no_matter_for_models_with_rms_norm(self, tmp_path: Path):
        centred = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}
        sae = read(saved(tmp_path, {**MIDDLE, **centred, "model_name": "meta-llama/Llama-3-8B"}))
        torch.testing.assert_close(sae.encode(stream()), encoded())

    def test_an_old_top_k(self, tmp_path: Path):
        config = {**MIDDLE, "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}}
        sae = read(saved(tmp_path, config))
        assert (sae.encode(stream()) > 0).sum(dim=-1).max() <= 3
        del config["activation_fn_kwargs"]
        with pytest.raises(AuditError, match="lacks 'k'"):
            read(saved(tmp_path, config))

    @pytest.mark.parametrize(
        ("release", "repository", "folder", "layer"),
        [
            (
                "gemma-2b-it-res-jb",
                "jbloom/Gemma-2b-IT-Residual-Stream-SAEs",
                "gemma_2b_it_blocks.12.hook_resid_post_16384",
                12,
            ),
            (
                "llama-3-8b-it-res-jh",
                "Juliushanhanhan/llama-3-8b-it-res",
                "blocks.25.hook_resid_post",
                25,
            ),
        ],
    )
    def test_releases_of_before_mid_2024(
        self, hub: LocalHub, tmp_path: Path, release: str, repository: str, folder: str, layer: int
    ):
        hook = f"blocks.{layer}.hook_resid_post"
        saved(tmp_path, {**OLD, "hook_point": hook, "hook_point_layer": layer})
        files = {path.name: path.read_bytes() for path in (tmp_path / "layer_1").iterdir()}
        hub.publish(repository, published.under(folder, files))
        for name in (release, repository):
            (place,) = sae_places(name, catalog=read_catalog())
            assert place.layer == layer
            config = sae_config(place)
            check_place(place, config, n_layers=32, d_model=tiny.D_MODEL)
            sae, _ = read_sae(place, device="cpu")
            assert sae.cfg.metadata.hook_name == hook
            torch.testing.assert_close(sae.encode(stream()), encoded())


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("activation_fn", {"activation_fn_str": "tanh-relu"}, "has to be relu or topk"),
    ("activation_fn", {"activation_fn": "tanh-relu"}, "has to be relu or topk"),
    ("activation_fn", {"activation_fn": "gelu"}, "has to be relu or topk"),
    ("activation_fn", {"activation_fn": ["relu"]}, "has to be relu or topk"),
    ("kwargs", {"activation_fn_kwargs": {"signed": True}}, "says signed is True"),
    ("kwargs", {"activation_fn_kwargs": [1]}, "has to be a JSON object"),
    ("architecture", {"architecture": "temporal"}, "is of kind 'temporal'"),
    ("architecture", {"architecture": {"a": 1}}, "has to be a word"),
    ("scaled", {"normalize_activations": "covariance_whitening"}, "ways to scale an input"),
    ("scaled", {"normalize_activations": "constant_scalar_rescale"}, "ways to scale an input"),
    ("scaled", {"normalize_activations": ["none"]}, "ways to scale an input"),
    ("scaled", {"normalize_activations": "expected_average_only_in"}, "scaled by a factor"),
    ("heads", {"reshape_activations": "hook_z"}, "an audit reads the residual stream"),
    ("b_dec", {"apply_b_dec_to_input": "no"}, "has to be true or false"),
    ("rescaled", {"rescale_acts_by_decoder_norm": True}, "for top-k SAEs alone"),
    ("size", {"d_sae": str(tiny.D_SAE)}, "says d_sae is '24'; it has to be a whole number"),
    ("size", {"d_sae": None}, "lacks 'd_sae'"),
    ("size", {"d_in": -1}, "whole number above 0"),
    ("size", {"d_in": True}, "whole number above 0"),
    ("size", {"d_in": 16.0}, "whole number above 0"),
    ("size", {"d_sae": 10**300}, "whole number above 0"),
    ("size", {"d_sae": 23}, "sae_lens cannot read the SAE"),
    ("size", {"d_sae": [24]}, "whole number above 0"),
    ("dtype", {"dtype": "int8"}, "has to be bfloat16 or"),
    ("dtype", {"dtype": 32}, "has to be a word"),
    ("dtype", {"dtype": None}, "lacks 'dtype'"),
    ("metadata", {"metadata": "x"}, "has to be a JSON object"),
    ("version", {"sae_lens_version": "newest"}, "which is no version"),
    ("version", {"sae_lens_version": 6}, "which is no version"),
    ("transcoder", {"d_out": 7}, "transcoders are not read"),
    ("transcoder", {"hook_name_out": "blocks.1.hook_mlp_out"}, "transcoders are not read"),
    ("head", {"hook_head_index": 3}, "single attention heads"),
    ("positions", {"seqpos_slice": [5, None]}, "reads the SAE at every position"),
    (
        "centred",
        {"model_name": "gpt2", "model_from_pretrained_kwargs": {"center_writing_weights": True}},
        "expects a stream without its mean",
    ),
    ("centred", {"model_from_pretrained_kwargs": True}, "has to be a JSON object"),
    ("hook", {"hook_name": 5}, "has to be a word"),
    ("hook", {"hook_name": "blocks.1.hook_mlp_out"}, "names the hook 'blocks.1.hook_mlp_out'"),
]


@pytest.mark.parametrize(
    ("change", "complaint"), [pytest.param(c, why, id=f"{name}-{c}") for name, c, why in REFUSED]
)
def test_what_would_change_a_number_is_refused(
    tmp_path: Path, change: dict[str, Any], complaint: str
):
    with pytest.raises(AuditError, match=complaint):
        read(saved(tmp_path, {**MIDDLE, **change}))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"activation_fn_str": "tanh-relu"}, "has to be relu or topk"),
        ({"hook_name": 5}, "has to be a word"),
        ({"hook_name": "blocks.1.hook_mlp_out"}, "names two hooks"),
        ({"architecture": None}, "lacks 'architecture'"),
    ],
)
def test_what_the_newest_form_holds_besides(tmp_path: Path, change: dict[str, Any], complaint: str):
    with pytest.raises(AuditError, match=complaint):
        read(saved(tmp_path, {**NEW, **change}))


@pytest.mark.parametrize("key", ["hook_head_index", "hook_name_out", "seqpos_slice"])
def test_under_metadata_too(tmp_path: Path, key: str):
    metadata = {**NEW["metadata"], key: [3]}
    with pytest.raises(AuditError, match=f"says {key} is "):
        read(saved(tmp_path, {**NEW, "metadata": metadata}))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b'"cfg"',
        b"{",
        b"\xff\xfe{}",
        b'{"d_in": ' + b"9" * 5000 + b"}",
        b"[" * 5000 + b"]" * 5000,
        b'{"a": ' * 3000 + b"1" + b"}" * 3000,
        b'{"d_in": NaN, "d_sae": Infinity}',
        b"\0" * 100,
    ],
    ids=lambda text: f"{text[:12]!r}",
)
def test_a_file_that_is_no_config(tmp_path: Path, text: bytes):
    with pytest.raises(AuditError, match=r"cfg\.json"):
        read(saved(tmp_path, text))


class TestScalingFactor:
    """Old SAEs hold a factor for each feature, which is 1 where they were not fine-tuned."""

    def test_of_ones_changes_nothing(self, tmp_path: Path):
        sae = read(saved(tmp_path, MIDDLE, scaling_factor=torch.ones(tiny.D_SAE)))
        torch.testing.assert_close(sae.encode(stream()), encoded())

    @pytest.mark.parametrize("said", [True, False])
    def test_of_other_values_is_refused(self, tmp_path: Path, said: bool):
        config = {**MIDDLE, "finetuning_scaling_factor": said}
        with pytest.raises(AuditError, match=r"(fine-tuned factor|Scaling factor is present)"):
            read(saved(tmp_path, config, scaling_factor=torch.full((tiny.D_SAE,), 2.0)))


class TestWeights:
    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    @pytest.mark.parametrize(
        ("kind", "name", "index", "where"),
        [
            ("standard", "W_dec", (7, 2), r"W_dec, row 7 \(feature 7\) of layer 1"),
            ("standard", "W_enc", (2, 7), r"W_enc, row 7 \(feature 7\) of layer 1"),
            ("standard", "b_enc", (7,), r"b_enc, row 7 \(feature 7\) of layer 1"),
            ("standard", "b_dec", (7,), r"b_dec, dimension 7 of layer 1"),
            ("jumprelu", "threshold", (7,), r"threshold, row 7 \(feature 7\)"),
            ("gated", "r_mag", (7,), r"r_mag, row 7 \(feature 7\)"),
        ],
    )
    def test_no_numbers(
        self, tmp_path: Path, kind: str, name: str, index: tuple[int, ...], where: str, value: float
    ):
        tensor = getattr(tiny.sae(kind, 1), name).detach().clone()
        tensor[index] = value
        config = {**NEW, "architecture": kind}
        with pytest.raises(AuditError, match=f"holds {value} in {where}"):
            read(saved(tmp_path, config, kind, **{name: tensor}))

    def test_whole_numbers_without_a_scale(self, tmp_path: Path):
        rounded = (tiny.sae("standard", 1).W_enc.detach() * 100).to(torch.int8)
        with pytest.raises(AuditError, match=r"'W_enc' as whole numbers \(I8\)"):
            read(saved(tmp_path, NEW, W_enc=rounded))

    def test_what_does_not_fit_is_named(self, tmp_path: Path):
        with pytest.raises(AuditError, match=r"cannot read the SAE .* size mismatch for b_enc"):
            read(saved(tmp_path, NEW, b_enc=torch.ones(1)))

    def test_a_row_of_zeros_where_rows_are_divided_by_their_length(self, tmp_path: Path):
        rows = tiny.sae("topk", 1).W_dec.detach().clone()
        rows[5] = 0
        config = {**NEW, "architecture": "topk", "k": 3}
        read(saved(tmp_path, config, "topk", W_dec=rows))
        config["rescale_acts_by_decoder_norm"] = True
        with pytest.raises(AuditError, match="row 5 of layer 1 is zero"):
            read(saved(tmp_path, config, "topk", W_dec=rows))

    def test_what_overflows_in_half_precision(self, tmp_path: Path):
        columns = torch.full((tiny.D_MODEL, tiny.D_SAE), 60_000.0)
        columns[:, ::2] *= -1
        place = saved(tmp_path, NEW, W_enc=columns)
        read(place)
        with pytest.raises(AuditError, match="values that are no numbers"):
            read_sae(place, device="cpu", dtype="float16")

    def test_more_kept_than_there_are(self, tmp_path: Path):
        with pytest.raises(AuditError, match="says k is 25, but d_sae is 24"):
            read(saved(tmp_path, {**NEW, "architecture": "topk", "k": 25}, "topk"))


class _RunsCode:
    """What a hostile pickle does: makes a folder when it is read."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (self.path,))


PICKLED = {
    "ae.pt": ("resid_post_layer_1/trainer_1", published.dictionary_learning(1)["config.json"]),
    "Llama-SAE-l1.pth": ("", None),
    "DeepSeek-R1-SAE-l1.pt": ("", None),
    "layer1.sae.pt": ("SAE-Res-Tiny-W0K-L0_6", None),
    "params.npz": ("layer_1/width_16k/average_l0_6", None),
}


def placed(folder: Path, name: str, content: bytes) -> SaePlace:
    inside, config = PICKLED[name]
    place = folder / inside
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(content)
    if config is not None:
        (place / "config.json").write_bytes(config)
    (found,) = sae_places(str(folder), catalog=[])
    return found


class TestArchives:
    @pytest.mark.parametrize("name", PICKLED)
    def test_no_code_runs(self, tmp_path: Path, name: str):
        proof = tmp_path / "code-ran"
        value = _RunsCode(str(proof))
        content = published.pickled({"W_enc": value, "encoder.weight": value})
        if name.endswith(".npz"):
            buffer = io.BytesIO()
            np.savez(buffer, allow_pickle=True, W_enc=np.array([value], dtype=object))
            content = buffer.getvalue()
        place = placed(tmp_path / "saes", name, content)
        for ask in (sae_config, fetch_sae, lambda place: read_sae(place, device="cpu")):
            if ask is sae_config and name == "ae.pt":
                continue  # its config is a file of its own
            with pytest.raises(AuditError, match=r"(holds more than tensors|array of object)"):
                ask(place)
        assert not proof.exists()

    @pytest.mark.parametrize("name", PICKLED)
    def test_what_unpacks_to_far_more_is_not_unpacked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ):
        monkeypatch.setattr("sae_audit.subject.saes.weights._SMALL", 1 << 20)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for n in range(5):
                archive.writestr(f"{n}.npy", bytes(1 << 20))
        place = placed(tmp_path, name, buffer.getvalue())
        with pytest.raises(AuditError, match=r"would unpack to 5 MB in 5 parts"):
            fetch_sae(place)

    def test_an_array_that_claims_more_than_there_is(self, tmp_path: Path):
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"
        header = header.ljust(117) + b"\n"
        array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("W_enc.npy", array + bytes(64))
        with pytest.raises(AuditError, match="does not fit into it"):
            sae_config(placed(tmp_path, "params.npz", buffer.getvalue()))

    def test_a_tensor_that_claims_more_than_there_is(self, tmp_path: Path):
        endless = torch.zeros(1).expand(1 << 20, 1 << 20)
        content = published.pickled({"W_enc": endless})
        with pytest.raises(AuditError, match="does not fit into it"):
            sae_config(placed(tmp_path, "layer1.sae.pt", content))

    @pytest.mark.parametrize("name", PICKLED)
    @pytest.mark.parametrize("content", [b"", b"\x80", b"PK\x03\x04", b"\x93NUMPY", b"x" * 1000])
    def test_what_is_no_archive(self, tmp_path: Path, name: str, content: bytes):
        with pytest.raises(AuditError):
            fetch_sae(placed(tmp_path, name, content))


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)
KEYS = sorted(
    {*OLD, *MIDDLE, *NEW, "k", "d_out", "hook_name_out", "sae_lens_version", "activation_fn"}
)


def answered(folder: Path) -> Any:
    """The SAE in a folder, or the sentence that refuses it."""
    try:
        (place,) = sae_places(str(folder), catalog=[])
        return read(place)
    except AuditError as error:
        return str(error)


def assert_sae_or_sentence(answer: Any) -> None:
    if isinstance(answer, str):
        assert unprintable(answer) is None
        assert len(answer) < 1000
    else:
        assert torch.isfinite(answer.decode(answer.encode(stream()))).all()


@pytest.fixture(scope="module")
def some_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("any")
    saved(folder, NEW)
    return folder


@settings(max_examples=80, deadline=None)
@given(
    form=st.sampled_from(sorted(FORMS)),
    changes=st.dictionaries(st.sampled_from(KEYS), junk, max_size=3),
    without=st.sets(st.sampled_from(KEYS), max_size=1),
)
def test_any_config_is_an_sae_or_a_sentence(
    some_folder: Path, form: str, changes: dict[str, Any], without: set[str]
):
    config = {k: v for k, v in {**FORMS[form], **changes}.items() if k not in without}
    (some_folder / "layer_1" / "cfg.json").write_text(json.dumps(config))
    assert_sae_or_sentence(answered(some_folder))


PUBLISHED: dict[str, tuple[str, dict[str, bytes]]] = {
    "hyperparams.json": ("Llama3_1-8B-Base-L1R-8x", published.llama_scope(1)),
    "config.json": ("resid_post_layer_1/trainer_1", published.dictionary_learning(1)),
    "config.json ": (
        "resid_post/layer_1_width_16k_l0_small",
        published.gemma_scope_2(1, config=True),
    ),
}


@settings(max_examples=60, deadline=None)
@given(data=st.data(), which=st.sampled_from(sorted(PUBLISHED)), value=junk)
def test_any_published_config_is_an_sae_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, which: str, value: Any
):
    folder, files = PUBLISHED[which]
    config = json.loads(files[which.strip()])
    inner = config.get("trainer", config)
    key = data.draw(st.sampled_from(sorted({*config, *inner, "act_fn", "hook_point_out"})))
    (inner if key in inner else config)[key] = value
    place = tmp_path_factory.mktemp("published") / folder
    for name, content in {**files, which.strip(): json.dumps(config).encode()}.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    assert_sae_or_sentence(answered(place))
