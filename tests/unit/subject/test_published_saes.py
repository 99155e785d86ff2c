"""SAEs of every publisher, downloaded from a hub and converted by sae_lens' own code."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from sae_audit.catalog import Suite, read_catalog
from sae_audit.errors import AuditError, InterruptedDownloadError
from sae_audit.hub import fetch
from sae_audit.subject.saes.files import read_sae, sae_config
from sae_audit.subject.saes.places import SaePlace, sae_places
from sae_audit.subject.saes.sae import Sae
from sae_audit.subject.saes.suite import checked_configs, load_suite
from tests import published, tiny
from tests.local_hub import TOKEN, LocalHub


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """sae_lens' registry, to which a test may add releases of its own."""
    from sae_lens.loading import pretrained_saes_directory as directory

    known = dict(directory.get_pretrained_saes_directory())
    for module in (
        "loading.pretrained_saes_directory",
        "loading.pretrained_sae_loaders",
        "saes.sae",
    ):
        monkeypatch.setattr(f"sae_lens.{module}.get_pretrained_saes_directory", lambda: known)
    return known


def registered(
    registry: dict[str, Any], name: str, repo: str, format: str | None, **maps: Any
) -> None:
    from sae_lens.loading.pretrained_saes_directory import PretrainedSAELookup

    ids = maps.pop("ids")
    registry[name] = PretrainedSAELookup(
        release=name,
        repo_id=repo,
        model="tiny",
        conversion_func=format,
        saes_map=ids,
        expected_var_explained={},
        expected_l0={},
        neuronpedia_id={},
        norm_scaling_factor=maps.get("norms", {}),
        config_overrides=maps.get("overrides"),
    )


def only_place(location: str, **options: Any) -> SaePlace:
    (place,) = sae_places(location, catalog=read_catalog(), **options)
    return place


def loaded(places: list[SaePlace]) -> dict[int, Sae]:
    configs = checked_configs(places, n_layers=3, d_model=tiny.D_MODEL)
    devices = {place.layer: "cpu" for place in places}
    return load_suite(places, configs, n_layers=3, d_model=tiny.D_MODEL, devices=devices)


def assert_same_weights(sae: Any, layer: int, *, scale: float = 1.0) -> None:
    own = published.weights(layer)
    torch.testing.assert_close(sae.W_enc, own["W_enc"] * scale)
    torch.testing.assert_close(sae.W_dec, own["W_dec"])
    torch.testing.assert_close(sae.b_enc, own["b_enc"])
    torch.testing.assert_close(sae.b_dec, own["b_dec"])


class TestFormats:
    """The publisher's files on the hub, under the publisher's own names."""

    def test_gemma_scope(self, hub: LocalHub, registry: dict[str, Any]):
        # The converter knows the width of the real models by the repository's name.
        files = published.under("layer_1/width_16k/average_l0_7", published.gemma_scope(1))
        commit = hub.publish("google/gemma-scope-2b-pt-res", files)
        place = _gemma_place(registry)
        sae, _ = read_sae(place, device="cpu")
        assert place.held is not None
        assert place.held.commit == commit
        assert_same_weights(sae, 1)
        torch.testing.assert_close(sae.threshold, published.weights(1)["threshold"])
        assert sae.cfg.metadata.hook_name == "blocks.1.hook_resid_post"

    @pytest.mark.parametrize("config", [True, False])
    def test_gemma_scope_2_with_and_without_its_config(
        self, hub: LocalHub, registry: dict[str, Any], config: bool
    ):
        folder = "resid_post_all/layer_1_width_16k_l0_big"
        files = published.under(folder, published.gemma_scope_2(1, config=config))
        hub.publish("google/gemma-scope-2-1b-it", files)
        ids = {"layer_1_width_16k_l0_big": folder}
        registered(registry, "tiny-scope-2", "google/gemma-scope-2-1b-it", "gemma_3", ids=ids)
        place = only_place("tiny-scope-2")
        described = sae_config(place)
        assert (described.d_model, described.width) == (tiny.D_MODEL, tiny.D_SAE)
        # The shapes were asked for by their bytes alone.
        assert not any(r.startswith("GET cdn") and "params" in r for r in hub.requests[:-2])
        sae, _ = read_sae(place, device="cpu")
        assert_same_weights(sae, 1)

    def test_llama_scope_folds_the_norm_into_encoder_and_threshold(
        self, hub: LocalHub, registry: dict[str, Any]
    ):
        folder = "Llama3_1-8B-Base-L1R-8x"
        hub.publish("fnlp/tiny", published.under(folder, published.llama_scope(1, threshold=0.2)))
        factor = tiny.D_MODEL**0.5 / 2.0
        norms = {"l1r_8x": factor}
        registered(
            registry, "tiny-lx", "fnlp/tiny", "llama_scope", ids={"l1r_8x": folder}, norms=norms
        )
        sae, _ = read_sae(only_place("tiny-lx"), device="cpu")
        # f = jumprelu((x * s) W + b): what is scaled is the encoder, and the threshold with it.
        own = published.weights(1)
        torch.testing.assert_close(sae.W_enc, own["W_enc"] * factor)
        torch.testing.assert_close(sae.threshold, torch.full((tiny.D_SAE,), 0.2 * factor))
        assert sae.cfg.normalize_activations == "none"

    def test_llama_scope_without_its_factor_is_refused(
        self, hub: LocalHub, registry: dict[str, Any]
    ):
        folder = "Llama3_1-8B-Base-L1R-8x"
        hub.publish("fnlp/tiny", published.under(folder, published.llama_scope(1)))
        registered(registry, "tiny-lx", "fnlp/tiny", "llama_scope", ids={"l1r_8x": folder})
        with pytest.raises(AuditError, match="scaled by a factor that its files do not hold"):
            read_sae(only_place("tiny-lx"), device="cpu")

    @pytest.mark.parametrize(
        ("kind", "architecture"), [("BatchTopKSAE", "jumprelu"), ("AutoEncoderTopK", "topk")]
    )
    def test_dictionary_learning(
        self, hub: LocalHub, registry: dict[str, Any], kind: str, architecture: str
    ):
        folder = "resid_post_layer_1/trainer_1"
        files = published.under(folder, published.dictionary_learning(1, kind=kind))
        hub.publish("andyrdt/tiny", files)
        ids = {"resid_post_layer_1_trainer_1": folder}
        registered(registry, "tiny-dl", "andyrdt/tiny", "dictionary_learning_1", ids=ids)
        sae, _ = read_sae(only_place("tiny-dl"), device="cpu")
        assert sae.cfg.architecture() == architecture
        assert sae.cfg.apply_b_dec_to_input
        assert_same_weights(sae, 1)

    def test_goodfire(self, hub: LocalHub):
        name = "Llama-3.1-8B-Instruct-SAE-l19.pth"
        hub.publish("Goodfire/Llama-3.1-8B-Instruct-SAE-l19", {name: published.goodfire(1)})
        place = only_place("goodfire-llama-3.1-8b-it-l19")
        # What it says of itself is the real one's; the weights are those on the hub.
        assert sae_config(place).width == 65_536
        with pytest.raises(AuditError, match=r"sae_lens cannot read the SAE layer_19 of Goodfire"):
            read_sae(place, device="cpu")

    def test_goodfire_of_its_own_shape(self, hub: LocalHub, registry: dict[str, Any]):
        name = "Llama-3.1-8B-Instruct-SAE-l19.pth"
        hub.publish("Goodfire/Llama-3.1-8B-Instruct-SAE-l19", {name: published.goodfire(1)})
        registered(
            registry,
            "goodfire-llama-3.1-8b-instruct",
            "Goodfire/Llama-3.1-8B-Instruct-SAE-l19",
            "goodfire",
            ids={"layer_19": name},
            overrides={"d_in": tiny.D_MODEL, "d_sae": tiny.D_SAE},
        )
        sae, _ = read_sae(only_place("goodfire-llama-3.1-8b-it-l19"), device="cpu")
        assert_same_weights(sae, 1)
        assert sae.cfg.metadata.hook_name == "blocks.19.hook_resid_post"

    def test_qwen_scope(self, hub: LocalHub, registry: dict[str, Any]):
        repo = "Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_50"
        hub.publish(repo, {"layer1.sae.pt": published.qwen_scope(1)})
        overrides = {
            "d_in": tiny.D_MODEL,
            "d_sae": tiny.D_SAE,
            "activation_fn_kwargs": {"k": 6},
        }
        ids = {"layer1": "layer1.sae.pt"}
        registered(registry, "tiny-qwen", repo, "qwen_scope", ids=ids, overrides=overrides)
        sae, _ = read_sae(only_place("tiny-qwen"), device="cpu")
        assert sae.cfg.architecture() == "topk"
        assert_same_weights(sae, 1)

    def test_sae_lens_own_format_from_any_repository(self, hub: LocalHub, tmp_path: Path):
        for layer in (0, 2):
            tiny.sae("gated", layer).save_model(tmp_path / f"layer_{layer}")
        commit = hub.publish("org/saes", tmp_path)
        places = sae_places("org/saes", catalog=[])
        suite = loaded(places)
        assert sorted(suite) == [0, 2]
        assert (suite[2].repository, suite[2].revision) == ("org/saes", commit)
        torch.testing.assert_close(suite[2].sae.W_dec, tiny.sae("gated", 2).W_dec)


def _gemma_place(registry: dict[str, Any]) -> SaePlace:
    ids = {"layer_1/width_16k/average_l0_7": "layer_1/width_16k/average_l0_7"}
    overrides = {"d_in": tiny.D_MODEL, "d_sae": tiny.D_SAE}
    repo = "google/gemma-scope-2b-pt-res"
    registered(registry, "tiny-scope", repo, "gemma_2", ids=ids, overrides=overrides)
    return only_place("tiny-scope")


class TestPinning:
    def test_a_revision_is_kept_though_main_moves_on(self, hub: LocalHub, registry: dict[str, Any]):
        path = "layer_1/width_16k/average_l0_7"
        old = hub.publish(
            "google/gemma-scope-2b-pt-res", published.under(path, published.gemma_scope(1))
        )
        hub.publish("google/gemma-scope-2b-pt-res", published.under(path, published.gemma_scope(2)))
        _gemma_place(registry)
        (pinned,) = sae_places(f"tiny-scope@{old}", catalog=[])
        (latest,) = sae_places("tiny-scope", catalog=[])
        first, first_hash = read_sae(pinned, device="cpu")
        second, second_hash = read_sae(latest, device="cpu")
        assert_same_weights(first, 1)
        assert_same_weights(second, 2)
        assert first_hash != second_hash

    def test_once_cached_no_network_is_needed(
        self, hub: LocalHub, registry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ):
        folder = "resid_post_all/layer_1_width_16k_l0_big"
        files = published.under(folder, published.gemma_scope_2(1, config=False))
        hub.publish("google/gemma-scope-2-1b-it", files)
        ids = {"layer_1_width_16k_l0_big": folder}
        registered(registry, "tiny-scope-2", "google/gemma-scope-2-1b-it", "gemma_3", ids=ids)
        read_sae(only_place("tiny-scope-2"), device="cpu")
        hub.requests.clear()
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        place = only_place("tiny-scope-2")
        assert sae_config(place).width == tiny.D_SAE
        assert_same_weights(read_sae(place, device="cpu")[0], 1)
        assert hub.requests == []

    def test_only_the_layers_audited_are_downloaded(self, hub: LocalHub, tmp_path: Path):
        for layer in (0, 1, 2):
            tiny.sae("standard", layer).save_model(tmp_path / f"layer_{layer}")
        hub.publish("org/saes", tmp_path)
        places = sae_places("org/saes", catalog=[], layers=[1])
        loaded(places)
        asked = {request.split("/")[-2] for request in hub.requests if "layer_" in request}
        assert asked == {"layer_1"}

    def test_the_dtype_asked_for(self, hub: LocalHub, registry: dict[str, Any]):
        path = "layer_1/width_16k/average_l0_7"
        hub.publish("google/gemma-scope-2b-pt-res", published.under(path, published.gemma_scope(1)))
        place = _gemma_place(registry)
        assert read_sae(place, device="cpu")[0].W_dec.dtype == torch.float32
        sae, _ = read_sae(place, device="cpu", dtype="bfloat16")
        assert {p.dtype for p in sae.parameters()} == {torch.bfloat16}
        assert sae.dtype == torch.bfloat16


class TestWhatCanGoWrong:
    def test_a_gated_repository(
        self, hub: LocalHub, registry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ):
        path = "layer_1/width_16k/average_l0_7"
        files = published.under(path, published.gemma_scope(1))
        hub.publish("google/gemma-scope-2b-pt-res", files, gated=True)
        place = _gemma_place(registry)
        with pytest.raises(AuditError, match="gemma-scope-2b-pt-res is gated: accept its terms"):
            read_sae(place, device="cpu")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        assert_same_weights(read_sae(place, device="cpu")[0], 1)

    def test_a_missing_file_is_named(self, hub: LocalHub, registry: dict[str, Any]):
        hub.publish("google/gemma-scope-2b-pt-res", {"README.md": "moved"})
        with pytest.raises(AuditError, match=r"has no file layer_1/.*/params\.npz at commit"):
            read_sae(_gemma_place(registry), device="cpu")

    def test_a_broken_download_says_that_it_resumes(
        self, hub: LocalHub, registry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
        path = "layer_1/width_16k/average_l0_7"
        hub.publish("google/gemma-scope-2b-pt-res", published.under(path, published.gemma_scope(1)))
        place = _gemma_place(registry)
        with hub.breaking("params.npz", after=10), pytest.raises(InterruptedDownloadError):
            read_sae(place, device="cpu")
        assert_same_weights(read_sae(place, device="cpu")[0], 1)

    def test_a_pickle_with_more_than_tensors_is_not_read(
        self, hub: LocalHub, registry: dict[str, Any], tmp_path: Path
    ):
        proof = tmp_path / "code-ran"
        files = published.dictionary_learning(1)
        files["ae.pt"] = published.pickled({"encoder.weight": _RunsCode(str(proof))})
        hub.publish("andyrdt/tiny", published.under("resid_post_layer_1/trainer_1", files))
        ids = {"resid_post_layer_1_trainer_1": "resid_post_layer_1/trainer_1"}
        registered(registry, "tiny-dl", "andyrdt/tiny", "dictionary_learning_1", ids=ids)
        with pytest.raises(AuditError, match="pickle that holds more than tensors"):
            read_sae(only_place("tiny-dl"), device="cpu")
        assert not proof.exists()

    def test_a_setting_that_lets_pickles_run_code_is_refused(
        self, hub: LocalHub, registry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ):
        files = published.under("resid_post_layer_1/trainer_1", published.dictionary_learning(1))
        hub.publish("andyrdt/tiny", files)
        ids = {"resid_post_layer_1_trainer_1": "resid_post_layer_1/trainer_1"}
        registered(registry, "tiny-dl", "andyrdt/tiny", "dictionary_learning_1", ids=ids)
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
        with pytest.raises(AuditError, match=r"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD .* unset it"):
            read_sae(only_place("tiny-dl"), device="cpu")

    def test_a_repository_that_sae_lens_reads_by_another_name(
        self, hub: LocalHub, registry: dict[str, Any]
    ):
        hub.publish("andyrdt/tiny", {"resid_post_layer_1/trainer_1/ae.pt": b""})
        registered(registry, "tiny-dl", "andyrdt/tiny", "dictionary_learning_1", ids={"x": "y"})
        with pytest.raises(AuditError, match="sae_lens reads it as tiny-dl, so name that"):
            sae_places("andyrdt/tiny", catalog=[])

    def test_the_layer_is_the_number_after_its_name(self, hub: LocalHub, tmp_path: Path):
        for layer in (0, 2):
            tiny.sae("standard", layer).save_model(tmp_path / "32x" / f"layer_{layer}")
        hub.publish("org/saes", tmp_path)
        assert [place.layer for place in sae_places("org/saes", catalog=[])] == [0, 2]

    def test_a_config_that_the_cache_lacks(
        self, hub: LocalHub, registry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ):
        folder = "Llama3_1-8B-Base-L1R-8x"
        files = published.under(folder, published.llama_scope(1))
        hub.publish("fnlp/tiny", {**files, "README.md": "-"})
        registered(registry, "tiny-lx", "fnlp/tiny", "llama_scope", ids={"l1r_8x": folder})
        held = only_place("tiny-lx").held
        assert held is not None
        fetch(held, ["README.md"])
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(
            AuditError, match=r"needs .*hyperparams\.json, which the cache does not"
        ):
            sae_config(only_place("tiny-lx"))

    def test_a_name_that_nothing_has(self):
        with pytest.raises(AuditError, match="did you mean gemma-scope-2b-res-16k"):
            sae_places("gemma-scope-2b-res-16", catalog=read_catalog())

    def test_saes_of_another_stream(self):
        with pytest.raises(AuditError, match=r"format 'mwhanna_transcoder'"):
            sae_places("mwhanna-qwen3-4b-transcoders", catalog=[])

    def test_a_layer_the_suite_lacks(self, hub: LocalHub):
        hub.publish("google/gemma-scope-9b-it-res", {"README.md": ""})
        with pytest.raises(AuditError, match=r"No SAE for layer 10 .* it has layers \[9, 20, 31\]"):
            sae_places("gemma-scope-9b-it-res-16k", catalog=read_catalog(), layers=[9, 10])

    def test_several_saes_of_one_layer_ask_for_a_choice(self, hub: LocalHub):
        hub.publish("google/gemma-scope-2b-pt-res", {"README.md": ""})
        with pytest.raises(AuditError, match=r"several SAEs for layer 0.*:IDS"):
            sae_places("gemma-scope-2b-pt-res-canonical", catalog=[], layers=[0])
        (place,) = sae_places(
            "gemma-scope-2b-pt-res-canonical:layer_{layer}/width_65k/canonical",
            catalog=[],
            layers=[3],
        )
        assert place.path.startswith("layer_3/width_65k/average_l0_")


class _RunsCode:
    """What a hostile pickle does: writes a file when it is read."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (self.path,))


class TestSparsity:
    def test_the_nearest_number_is_chosen_layer_by_layer(self, hub: LocalHub):
        hub.publish("google/gemma-scope-2b-pt-res", {"README.md": ""})
        catalog = read_catalog()
        places = sae_places("gemma-scope-2b-res-16k", catalog=catalog, layers=[16, 20], l0=40)
        assert [place.id.rsplit("_", 1)[0] for place in places] == [
            "layer_16/width_16k/average_l0",
            "layer_20/width_16k/average_l0",
        ]
        found = [int(place.id.rsplit("_", 1)[1]) for place in places]
        assert all(abs(n - 40) < 15 for n in found)

    def test_words_where_the_publisher_uses_words(self, hub: LocalHub):
        hub.publish("google/gemma-scope-2-1b-it", {"README.md": ""})
        catalog = read_catalog()
        (place,) = sae_places(
            "gemma-scope-2-1b-it-res-65k", catalog=catalog, layers=[13], l0="small"
        )
        assert place.id == "layer_13_width_65k_l0_small"
        with pytest.raises(AuditError, match="one of small, medium, big"):
            sae_places("gemma-scope-2-1b-it-res-65k", catalog=catalog, layers=[13], l0=40)

    def test_a_suite_with_one_sae_a_layer(self, hub: LocalHub):
        hub.publish("fnlp/Llama3_1-8B-Base-LXR-8x", {"README.md": ""})
        with pytest.raises(AuditError, match="there is no sae_l0 to choose"):
            sae_places("llama-scope-res-8x", catalog=read_catalog(), l0=40)


class TestCatalog:
    @pytest.mark.parametrize("suite", read_catalog(), ids=lambda suite: suite.name)
    def test_every_id_is_in_the_installed_registry(self, suite: Suite, registry: dict[str, Any]):
        assert suite.release is not None
        entry = registry[suite.release]
        assert entry.repo_id == suite.repository
        assert entry.model.split("/")[-1].casefold() == suite.trained_on.split("/")[-1].casefold()
        for layer in suite.layers:
            assert suite.id_of(layer) in entry.saes_map
        if suite.l0 is not None:
            held = registry[suite.l0.release or suite.release].saes_map
            for layer in suite.layers:
                pattern = suite.l0.ids.replace("{layer}", str(layer))
                if suite.l0.choices is not None:
                    names = [pattern.replace("{l0}", word) for word in suite.l0.choices]
                    assert set(names) <= set(held)
                else:
                    start = pattern.split("{l0}")[0]
                    assert any(name.startswith(start) for name in held)

    @pytest.mark.parametrize(
        "suite",
        [
            s
            for s in read_catalog()
            if "gemma-scope-2b" in s.name or "9b" in s.name or "qwen-" in s.name
        ],
        ids=lambda suite: suite.name,
    )
    def test_what_the_converter_knows_by_name_agrees(self, suite: Suite, hub: LocalHub):
        hub.publish(suite.repository, {"README.md": ""})
        for layer in (suite.layers[0], suite.layers[-1]):
            place = only_place(suite.name, layers=[layer])
            described = sae_config(place)
            assert described.d_model == suite.d_model
            assert described.width == suite.width
            assert described.hook == suite.hook.replace("{layer}", str(layer))
            assert described.architecture == suite.architecture

    def test_a_catalog_of_ones_own(self, hub: LocalHub, tmp_path: Path):
        for layer in (0, 1):
            tiny.sae("standard", layer).save_model(tmp_path / "saes" / f"l{layer}")
        hub.publish("org/saes", tmp_path / "saes")
        own = tmp_path / "own.yaml"
        entry = {
            "name": "mine",
            "models": ["org/tiny"],
            "trained_on": "org/tiny",
            "activations": "instruct",
            "repository": "org/saes",
            "ids": "l{layer}",
            "layers": "0-1",
            "d_model": tiny.D_MODEL,
            "architecture": "standard",
        }
        own.write_text(json.dumps([entry]))
        places = sae_places("mine", catalog=read_catalog(own))
        suite = loaded(places)
        assert sorted(suite) == [0, 1]

    @pytest.mark.parametrize(
        ("repository", "folder", "complaint"),
        [
            ("org/scope-2b-pt-mlp", "layer_1/width_16k/average_l0_7", "reads another stream"),
            (
                "org/scope-2b-pt-res",
                "layer_2/width_16k/average_l0_7",
                "its name is that of layer 2",
            ),
        ],
    )
    def test_a_catalog_that_names_other_saes(
        self, hub: LocalHub, tmp_path: Path, repository: str, folder: str, complaint: str
    ):
        """Gemma Scope's files do not say which stream of which layer they read."""
        hub.publish(repository, published.under(folder, published.gemma_scope(1)))
        own = tmp_path / "own.yaml"
        entry = {
            "name": "mine",
            "models": ["org/tiny"],
            "trained_on": "org/tiny",
            "activations": "base",
            "repository": repository,
            "ids": folder,
            "layers": "1",
            "d_model": tiny.D_MODEL,
            "architecture": "jumprelu",
        }
        own.write_text(json.dumps([entry]))
        with pytest.raises(AuditError, match=complaint):
            sae_places("mine", catalog=read_catalog(own))

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("name: x", "holds no list of suites"),
            ("- name: x", r"suite 'x': 'models' is missing"),
            ("- {name: x, widht: 3}", "suite 'x'"),
            ("- [", "is no YAML"),
        ],
    )
    def test_a_broken_catalog_is_named(self, tmp_path: Path, text: str, complaint: str):
        own = tmp_path / "own.yaml"
        own.write_text(text)
        with pytest.raises(AuditError, match=complaint):
            read_catalog(own)
