"""SAE folders as download tools leave them, read in their publishers' formats."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from sae_audit.errors import AuditError
from sae_audit.subject.saes.files import read_sae, sae_config
from sae_audit.subject.saes.places import SaePlace, sae_places
from sae_audit.subject.saes.suite import check_place
from tests import published, tiny
from tests.local_hub import LocalHub

GOODFIRE = "Llama-3.1-8B-Instruct-SAE-l1.pth"


def sparsify(layer: int, **changed: Any) -> dict[str, bytes]:
    own = published.weights(layer)
    config = {"expansion_factor": 32, "num_latents": tiny.D_SAE, "k": 6, "d_in": tiny.D_MODEL}
    tensors = {
        "encoder.weight": own["W_enc"].T.contiguous(),
        "encoder.bias": own["b_enc"],
        "W_dec": own["W_dec"].contiguous(),
        "b_dec": own["b_dec"],
    }
    said = {**config, "normalize_decoder": True, "signed": False, **changed}
    return {"cfg.json": json.dumps(said).encode(), "sae.safetensors": save(tensors)}


def r1_distill(layer: int) -> dict[str, bytes]:
    own = published.weights(layer)
    config = {
        "d_model": 16,
        "expansion_factor": 2,
        "hook_point_in": f"blocks.{layer}.hook_resid_post",
        "dataset_average_activation_norm": {f"blocks.{layer}.hook_resid_post": 2.0},
    }
    wide = torch.cat([own["W_enc"], own["W_enc"][:, :8]], dim=1)
    tensors = {
        "encoder.weight": wide.T.contiguous(),
        "decoder.weight": torch.cat([own["W_dec"], own["W_dec"][:8]]).T.contiguous(),
        "encoder.bias": torch.cat([own["b_enc"], own["b_enc"][:8]]),
        "decoder.bias": own["b_dec"],
        "log_jumprelu_threshold": torch.zeros(32),
    }
    return {"config.json": json.dumps(config).encode(), "sae_weights.safetensors": save(tensors)}


def sae_lens_files(layer: int, tmp_path: Path) -> dict[str, bytes]:
    tiny.sae("jumprelu", layer).save_model(tmp_path / "made")
    return {path.name: path.read_bytes() for path in sorted((tmp_path / "made").iterdir())}


LAYOUTS: dict[str, tuple[str, Any]] = {
    "sae_lens": ("layer_1", sae_lens_files),
    "gemma_2": ("layer_1/width_16k/average_l0_78", lambda layer, _: published.gemma_scope(layer)),
    "gemma_3": (
        "resid_post/layer_1_width_16k_l0_small",
        lambda layer, _: published.gemma_scope_2(layer, config=True),
    ),
    "llama_scope": ("Llama3_1-8B-Base-L1R-8x", lambda layer, _: published.llama_scope(layer)),
    "llama_scope_r1_distill": (
        "800M-Slimpajama-0-OpenR1-Math-220k/L1R",
        lambda layer, _: r1_distill(layer),
    ),
    "dictionary_learning_1": (
        "resid_post_layer_1/trainer_1",
        lambda layer, _: published.dictionary_learning(layer),
    ),
    "goodfire": ("", lambda layer, _: {GOODFIRE: published.goodfire(layer)}),
    "qwen_scope": (
        "SAE-Res-Tiny-W0K-L0_6",
        lambda layer, _: {f"layer{layer}.sae.pt": published.qwen_scope(layer)},
    ),
    "sparsify": ("layers.1", lambda layer, _: sparsify(layer)),
}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


def files_of(layout: str, tmp_path: Path) -> dict[str, bytes]:
    folder, make = LAYOUTS[layout]
    files = make(1, tmp_path)
    return published.under(folder, files) if folder else files


def assert_encodes_as_published(sae: Any, layout: str) -> None:
    """The publisher's arithmetic, written out, on one random stream."""
    own, x = published.weights(1), torch.randn(5, tiny.D_MODEL, generator=torch.manual_seed(3))
    match layout:
        case "sae_lens" | "gemma_2" | "gemma_3":
            shifted = x - own["b_dec"] * (layout == "sae_lens")
            pre = shifted @ own["W_enc"] + own["b_enc"]
            expected = pre.relu() * (pre > own["threshold"])
        case "llama_scope":
            pre = 2.0 * x @ own["W_enc"] + own["b_enc"]  # sqrt(16) over a mean norm of 2
            expected = pre.relu() * (pre > 0.2 * 2.0)
        case "llama_scope_r1_distill":
            pre = 2.0 * x @ own["W_enc"] + own["b_enc"]
            expected = pre.relu() * (pre > 1.0)
        case "dictionary_learning_1":
            pre = (x - own["b_dec"]) @ own["W_enc"] + own["b_enc"]
            expected = pre.relu() * (pre > 0.2)
        case "goodfire":
            expected = (x @ own["W_enc"] + own["b_enc"]).relu()
        case _:
            shifted = x - own["b_dec"] * (layout == "sparsify")
            pre = (shifted @ own["W_enc"] + own["b_enc"]).relu()
            best = pre.topk(6, dim=-1)
            expected = torch.zeros_like(pre).scatter(-1, best.indices, best.values)
    torch.testing.assert_close(sae.encode(x)[:, : tiny.D_SAE], expected)
    scale = 2.0 if layout.startswith("llama_scope") else 1.0
    torch.testing.assert_close(sae.W_dec[: tiny.D_SAE], own["W_dec"] / scale)


def assert_read(place: SaePlace, layout: str) -> None:
    config = sae_config(place)
    assert (place.layer, place.format, config.d_model) == (1, layout, tiny.D_MODEL)
    check_place(place, config, n_layers=3, d_model=tiny.D_MODEL)
    sae, sha256 = read_sae(place, device="cpu")
    assert len(sha256) == 64
    assert sae.cfg.metadata.hook_name == "blocks.1.hook_resid_post"
    assert_encodes_as_published(sae, layout)


@pytest.mark.parametrize("layout", LAYOUTS)
class TestEveryLayout:
    def test_from_a_folder_as_a_download_leaves_it(self, layout: str, tmp_path: Path):
        folder = write(tmp_path / "downloaded", files_of(layout, tmp_path))
        write(folder, {".cache/huggingface/.gitignore": b"*", "README.md": b"# SAEs"})
        (place,) = sae_places(str(folder), catalog=[])
        assert_read(place, layout)

    def test_from_the_folder_of_the_one_sae(self, layout: str, tmp_path: Path):
        write(tmp_path, files_of(layout, tmp_path / "x"))
        (place,) = sae_places(str(tmp_path / LAYOUTS[layout][0]), catalog=[])
        assert_read(place, layout)

    def test_from_a_repository_that_no_registry_knows(
        self, layout: str, hub: LocalHub, tmp_path: Path
    ):
        name = "org/SAE-Res-Tiny-W0K-L0_6" if layout == "qwen_scope" else "org/of-someone"
        hub.publish(name, files_of(layout, tmp_path))
        (place,) = sae_places(name, catalog=[])
        assert_read(place, layout)

    def test_a_weight_that_is_no_number_is_named(self, layout: str, tmp_path: Path):
        folder = write(tmp_path / "all", files_of(layout, tmp_path))
        (place,) = sae_places(str(folder), catalog=[])
        file = next(Path(p) for p in place.files if not p.endswith(".json"))
        file.write_bytes(_with_a_nan(file))
        with pytest.raises(
            AuditError, match=r"holds nan in W_dec, row 3 \(feature 3\) of layer 1;"
        ):
            read_sae(place, device="cpu")

    def test_a_file_cut_short_is_a_sentence(self, layout: str, tmp_path: Path):
        folder = write(tmp_path / "all", files_of(layout, tmp_path))
        (place,) = sae_places(str(folder), catalog=[])
        for path in place.files:
            whole = Path(path).read_bytes()
            for size in (0, 1, len(whole) // 2, len(whole) - 1):
                Path(path).write_bytes(whole[:size])
                with pytest.raises(AuditError):
                    read_sae(place, device="cpu")
            Path(path).write_bytes(whole)


def _with_a_nan(file: Path) -> bytes:
    if file.suffix == ".npz":
        arrays = dict(np.load(file))
        arrays["w_dec"][3, 5] = float("nan")
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()
    if file.suffix == ".safetensors":
        from safetensors.torch import load

        tensors = load(file.read_bytes())
    else:
        tensors = torch.load(file, weights_only=True)
    name = next(
        name for name in tensors if "dec" in name.lower() and "ias" not in name and name != "b_dec"
    )
    by_columns = tensors[name].shape[0] == tiny.D_MODEL
    tensors[name] = tensors[name].clone()
    tensors[name][(5, 3) if by_columns else (3, 5)] = float("nan")
    return save(tensors) if file.suffix == ".safetensors" else published.pickled(tensors)


class TestChoice:
    @pytest.fixture
    def scope(self, tmp_path: Path) -> Path:
        """Two widths, two L0s side by side, at two layers, and an SAE of the embedding."""
        for layer in (0, 1):
            for width in ("width_16k", "width_65k"):
                for l0 in (20, 100):
                    files = published.gemma_scope(layer)
                    write(tmp_path / f"layer_{layer}" / width / f"average_l0_{l0}", files)
        return write(tmp_path, published.under("embedding/width_4k/average_l0_6", files)).resolve()

    def test_several_are_listed(self, scope: Path):
        with pytest.raises(
            AuditError, match=r"several SAEs for layer 0: .*average_l0_100, .*sae_l0"
        ):
            sae_places(str(scope), catalog=[])
        with pytest.raises(AuditError, match=r"layer_0/width_16k/average_l0_20, layer_0/width_65k"):
            sae_places(str(scope), catalog=[], l0=30)

    @pytest.mark.parametrize("ids", ["width_65k", "layer_{layer}/width_65k/average_l0_{l0}"])
    def test_by_width_and_l0(self, scope: Path, ids: str):
        places = sae_places(f"{scope}:{ids}", catalog=[], l0=30)
        assert [place.id for place in places] == [
            "layer_0/width_65k/average_l0_20",
            "layer_1/width_65k/average_l0_20",
        ]
        (place,) = sae_places(f"{scope}:{ids}", catalog=[], l0="90", layers=[1])
        assert place.id == "layer_1/width_65k/average_l0_100"

    @pytest.mark.parametrize("l0", ["small", "nan", "1e999x"])
    def test_an_l0_that_is_none(self, scope: Path, l0: str):
        with pytest.raises(AuditError, match=r"it is a number, layer 0 has 20, 100"):
            sae_places(f"{scope}:width_16k", catalog=[], l0=l0)

    def test_by_a_word(self, tmp_path: Path):
        for l0 in ("small", "big"):
            folder = tmp_path / "resid_post" / f"layer_1_width_16k_l0_{l0}"
            write(folder, published.gemma_scope_2(1, config=False))
        (place,) = sae_places(str(tmp_path), catalog=[], l0="big")
        assert place.id == "resid_post/layer_1_width_16k_l0_big"
        with pytest.raises(AuditError, match="one of big, small"):
            sae_places(str(tmp_path), catalog=[], l0=30)

    def test_an_l0_where_no_name_holds_one(self, tmp_path: Path):
        tiny.sae("standard", 0).save_model(tmp_path / "layer_0")
        with pytest.raises(AuditError, match=r"sae_l0 is 30, but the SAE layer_0 .* has no L0"):
            sae_places(str(tmp_path), catalog=[], l0=30)

    def test_ids_that_nothing_has(self, scope: Path):
        with pytest.raises(
            AuditError, match=r"is called width_1m; they are called .*layer_0/width_16k"
        ):
            sae_places(f"{scope}:width_1m", catalog=[])


class TestOtherStreams:
    @pytest.mark.parametrize(
        "name", ["gemma-scope-2b-pt-mlp", "gemma-scope-2b-pt-att", "a-transcoders"]
    )
    def test_by_the_name_of_the_folder(self, tmp_path: Path, name: str):
        write(tmp_path / name, files_of("gemma_2", tmp_path))
        with pytest.raises(AuditError, match="reads another stream than the residual one"):
            sae_places(str(tmp_path / name), catalog=[])

    def test_by_the_name_of_the_repository_in_the_cache(self, tmp_path: Path):
        home = tmp_path / "models--google--gemma-scope-2b-pt-mlp" / "snapshots" / ("a" * 40)
        write(home, files_of("gemma_2", tmp_path))
        with pytest.raises(AuditError, match="reads another stream than the residual one"):
            sae_places(str(home), catalog=[])

    def test_by_the_model_card(self, tmp_path: Path):
        write(tmp_path, files_of("gemma_2", tmp_path))
        (tmp_path / "README.md").write_text("What is `gemma-scope-2b-pt-res`?")
        assert len(sae_places(str(tmp_path), catalog=[])) == 1
        (tmp_path / "README.md").write_text("What is `gemma-scope-2b-pt-mlp`?")
        with pytest.raises(AuditError, match="reads another stream than the residual one"):
            sae_places(str(tmp_path), catalog=[])

    @pytest.mark.parametrize(
        ("hook", "complaint"),
        [
            (
                "model.layers.2.output",
                "reads layer 2, as its config says, but is named for layer 1",
            ),
            ("model.layers.1.self_attn.o_proj.input", "the residual stream"),
        ],
    )
    def test_by_the_config(self, tmp_path: Path, hook: str, complaint: str):
        write(tmp_path, files_of("gemma_3", tmp_path))
        file = tmp_path / LAYOUTS["gemma_3"][0] / "config.json"
        config = json.loads(file.read_bytes())
        file.write_text(json.dumps({**config, "hf_hook_point_in": hook}))
        (place,) = sae_places(str(tmp_path), catalog=[])
        with pytest.raises(AuditError, match=complaint):
            read_sae(place, device="cpu")

    def test_by_the_folders_inside(self, tmp_path: Path):
        for layer in ("layers.1", "layers.1.mlp"):
            write(tmp_path / layer, sparsify(1))
        (place,) = sae_places(str(tmp_path), catalog=[])
        assert place.id == "layers.1"

    @pytest.mark.parametrize(
        "change", [{"signed": True}, {"transcode": True}, {"skip_connection": True}]
    )
    def test_of_sparsify(self, tmp_path: Path, change: dict[str, Any]):
        write(tmp_path / "layers.1", sparsify(1, **change))
        (place,) = sae_places(str(tmp_path), catalog=[])
        with pytest.raises(AuditError, match=f"says {next(iter(change))} is True"):
            sae_config(place)

    def test_groupmax(self, tmp_path: Path):
        write(tmp_path / "layers.1", sparsify(1, activation="groupmax"))
        (place,) = sae_places(str(tmp_path), catalog=[])
        with pytest.raises(AuditError, match=r"says activation is 'groupmax'; it has to be topk"):
            read_sae(place, device="cpu")


class TestWhatFitsNoLayout:
    def test_what_is_read_and_what_was_found(self, tmp_path: Path):
        write(tmp_path, {"a/model.bin": b"", "b.txt": b""})
        with pytest.raises(
            AuditError, match=r"holds no SAE in a layout .*Gemma Scope.*holds .*b\.txt"
        ):
            sae_places(str(tmp_path), catalog=[])
        (tmp_path / "empty").mkdir()
        with pytest.raises(AuditError, match="it holds no files"):
            sae_places(str(tmp_path / "empty"), catalog=[])

    def test_names_are_shown_and_not_sent(self, tmp_path: Path):
        write(tmp_path, {"\x1b[2J\u202e.txt": b""})
        with pytest.raises(AuditError, match=r"holds \\x1b\[2J\\u202e\.txt"):
            sae_places(str(tmp_path), catalog=[])

    def test_a_folder_with_control_characters_in_its_name(self, tmp_path: Path):
        tiny.sae("standard", 0).save_model(tmp_path / "layer_0\x1b[2J")
        with pytest.raises(AuditError, match=r"holds the control character \\x1b in its name"):
            sae_places(str(tmp_path), catalog=[])

    @pytest.mark.parametrize("location", ["~nobody-at-all/saes", "/a\0b", "./" + "x" * 300])
    def test_what_is_no_folder(self, location: str):
        with pytest.raises(AuditError, match="No SAE"):
            sae_places(location, catalog=[])

    def test_no_name_says_where_it_belongs(self, tmp_path: Path):
        write(tmp_path / "some/other", published.gemma_scope(1))
        with pytest.raises(AuditError, match="its name holds no layer"):
            sae_places(str(tmp_path / "some"), catalog=[])

    def test_how_many_fire_is_in_the_name_alone(self, tmp_path: Path):
        write(tmp_path / "mine", {"layer1.sae.pt": published.qwen_scope(1)})
        (place,) = sae_places(str(tmp_path / "mine"), catalog=[])
        with pytest.raises(
            AuditError, match=r"stands in its repository's name alone \(...-L0_50\)"
        ):
            sae_config(place)

    @pytest.mark.parametrize("name", ["16k", "1m", "8x", "l0_82", "average_l0_1"])
    def test_a_width_or_an_l0_is_no_layer(self, tmp_path: Path, name: str):
        write(tmp_path / "layer_1" / name, published.gemma_scope(1))
        (place,) = sae_places(str(tmp_path / "layer_1"), catalog=[])
        assert place.layer == 1

    def test_a_tensor_that_is_not_read(self, tmp_path: Path):
        files = sparsify(1)
        tensors = {**load(files["sae.safetensors"]), "W_skip": torch.ones(16, 16)}
        write(tmp_path / "layers.1", {**files, "sae.safetensors": save(tensors)})
        (place,) = sae_places(str(tmp_path), catalog=[])
        with pytest.raises(AuditError, match="holds 'W_skip', which no plain top-k"):
            read_sae(place, device="cpu")

    def test_a_stream_of_another_layer(self, tmp_path: Path):
        files = published.dictionary_learning(1)
        config = json.loads(files["config.json"])
        config["trainer"]["submodule_name"] = "resid_post_layer_2"
        write(tmp_path / "trainer_0", {**files, "config.json": json.dumps(config).encode()})
        (place,) = sae_places(str(tmp_path), catalog=[])
        with pytest.raises(AuditError, match="has to be resid_post_layer_1, for it says layer 1"):
            sae_config(place)

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_what_git_leaves_in_place_of_large_files(self, layout: str, tmp_path: Path):
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
        files = files_of(layout, tmp_path)
        left = {name: text if name.endswith(".json") else pointer for name, text in files.items()}
        write(tmp_path / "saes", left)
        (place,) = sae_places(str(tmp_path / "saes"), catalog=[])
        with pytest.raises(AuditError, match="is a pointer of Git LFS, not the file"):
            read_sae(place, device="cpu")

    def test_a_config_whose_weights_did_not_come(self, tmp_path: Path):
        files = sparsify(1)
        files["sae.safetensors.incomplete"] = files.pop("sae.safetensors")
        write(tmp_path / "layers.1", files)
        (place,) = sae_places(str(tmp_path), catalog=[])
        with pytest.raises(AuditError, match="lacks its weights"):
            sae_config(place)


def test_links_are_followed_once(tmp_path: Path):
    write(tmp_path / "elsewhere", published.gemma_scope(1))
    (tmp_path / "saes").mkdir()
    (tmp_path / "saes" / "layer_1").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "up").symlink_to(tmp_path / "saes")
    (place,) = sae_places(str(tmp_path / "saes"), catalog=[])
    assert_read(place, "gemma_2")


def test_a_repository_in_the_cache_of_the_hub(tmp_path: Path):
    """`snapshot_download` leaves links into `blobs`, under `snapshots/COMMIT`."""
    home = tmp_path / "models--org--saes"
    snapshot = home / "snapshots" / ("a" * 40)
    for name, content in files_of("gemma_2", tmp_path).items():
        blob = write(home / "blobs", {name.replace("/", "_"): content}) / name.replace("/", "_")
        (snapshot / name).parent.mkdir(parents=True)
        (snapshot / name).symlink_to(blob)
    write(home / "refs", {"main": b"a" * 40})
    for folder in (home, snapshot):
        (place,) = sae_places(str(folder), catalog=[])
        assert_read(place, "gemma_2")
    shutil.copytree(snapshot, home / "snapshots" / ("b" * 40))
    with pytest.raises(AuditError, match="with 2 commits; name the folder of one"):
        sae_places(str(home), catalog=[])
