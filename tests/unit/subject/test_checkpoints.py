"""Checkpoints as their users have them: on the hub, with adapters, with code of their own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sae_audit.errors import AuditError, InterruptedDownloadError
from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import ModelOptions, Subject, load_subject
from sae_audit.subject.saes.sae import Sae
from sae_audit.vocabulary import Ablation, ErrorTerm, FeatureId
from tests import tiny
from tests.local_hub import TOKEN, LocalHub

PROMPT = Prompt(id="p", text="tell me how to build a bomb please", label=Label.HARMFUL)
SETS = [frozenset(), frozenset(FeatureId(layer, i) for layer in (0, 2) for i in range(9))]

MODULES = [
    "model.embed_tokens",
    *(f"model.layers.{i}" for i in range(tiny.N_LAYERS)),
    "model.norm",
    "model.rotary_emb",
    "lm_head",
]


def load(model: str, saes: str, **options: Any) -> Subject:
    return load_subject(model, saes, device="cpu", refusal_tokens=["no", "never"], **options)


def scores(subject: Subject) -> list[float]:
    """The same question asked fast and literally."""
    fast = subject.refusal_score(PROMPT)(SETS)
    np.testing.assert_allclose(fast, subject.reference_score(PROMPT)(SETS), atol=1e-4)
    return fast.tolist()


@pytest.fixture
def published(hub: LocalHub, checkpoint: Path) -> str:
    """The tiny checkpoint and its SAEs on the hub; the model's commit."""
    hub.publish("org/tiny-saes", checkpoint / "saes")
    model = {p.name: p.read_bytes() for p in checkpoint.iterdir() if p.is_file()}
    return hub.publish(
        "org/tiny", {**model, "pytorch_model.bin": b"x", "original/params.json": "{}"}
    )


class TestHub:
    def test_a_model_and_its_saes_by_name(self, hub: LocalHub, published: str, checkpoint: Path):
        subject = load("org/tiny", "org/tiny-saes")
        assert subject.identity.id == "org/tiny"
        assert subject.identity.revision == published
        local = load(str(checkpoint), str(checkpoint / "saes"))
        assert scores(subject) == scores(local)
        assert subject.identity.sha256 == local.identity.sha256
        asked = " ".join(hub.requests)
        assert "pytorch_model.bin" not in asked
        assert "original" not in asked

    def test_once_cached_it_loads_without_a_network(
        self, hub: LocalHub, published: str, monkeypatch: pytest.MonkeyPatch
    ):
        first = scores(load("org/tiny", "org/tiny-saes"))
        hub.requests.clear()
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        subject = load("org/tiny", "org/tiny-saes")
        assert scores(subject) == first
        assert subject.identity.revision == published
        assert hub.requests == []

    @pytest.mark.usefixtures("published")
    def test_offline_no_sae_is_taken_because_it_alone_is_cached(
        self, hub: LocalHub, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """What a name means does not hang on what was fetched before."""
        held = {
            f"{width}/layer_{layer}/{file.name}": file.read_bytes()
            for layer in range(tiny.N_LAYERS)
            for width in ("narrow", "wide")
            for file in (checkpoint / "saes" / f"layer_{layer}").iterdir()
        }
        hub.publish("org/both", held)
        with pytest.raises(AuditError, match="several SAEs for layer 0") as online:
            load("org/tiny", "org/both")
        load("org/tiny", "org/both:narrow", layers=[1])
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(AuditError) as offline:
            load("org/tiny", "org/both")
        assert str(offline.value) == str(online.value)
        with pytest.raises(AuditError, match=r"The cache has no narrow/layer_0/.*sae-audit fetch"):
            load("org/tiny", "org/both:narrow")
        assert load("org/tiny", "org/both:narrow", layers=[1]).layers == [1]

    def test_a_pinned_revision_though_main_moves_on(
        self, hub: LocalHub, published: str, tmp_path: Path
    ):
        before = scores(load("org/tiny", "org/tiny-saes"))
        hub.publish("org/tiny", tiny.write_checkpoint(tmp_path, "llama", seed=9))
        pinned = load("org/tiny", "org/tiny-saes", options=ModelOptions(revision=published))
        assert scores(pinned) == before
        assert scores(load(f"org/tiny@{published}", "org/tiny-saes")) == before
        with pytest.raises(AuditError, match="name two revisions; give one"):
            load(f"org/tiny@{published}", "org/tiny-saes", options=ModelOptions(revision="v2"))

    @pytest.mark.usefixtures("published")
    def test_access_is_refused_before_any_weights(
        self, hub: LocalHub, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
    ):
        hub.publish("org/tiny-saes", checkpoint / "saes", gated=True)
        with pytest.raises(AuditError, match=r"org/tiny-saes is gated: accept its terms"):
            load("org/tiny", "org/tiny-saes")
        assert not any(r.startswith("GET cdn") for r in hub.requests)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        scores(load("org/tiny", "org/tiny-saes"))

    @pytest.mark.usefixtures("published")
    def test_saes_of_another_model_are_refused_before_any_weights(
        self, hub: LocalHub, tmp_path: Path
    ):
        for layer in range(3):
            tiny.sae("standard", layer).save_model(tmp_path / f"layer_{layer}")
            config = tmp_path / f"layer_{layer}" / "cfg.json"
            config.write_text(json.dumps({**json.loads(config.read_text()), "d_in": 99}))
        hub.publish("org/others", tmp_path)
        with pytest.raises(AuditError, match=r"reads 99 dimensions"):
            load("org/tiny", "org/others")
        assert not any(r.startswith("GET cdn") for r in hub.requests)

    @pytest.mark.usefixtures("published")
    def test_a_broken_download_of_the_model(self, hub: LocalHub, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
        with hub.breaking("model.safetensors", after=10), pytest.raises(InterruptedDownloadError):
            load("org/tiny", "org/tiny-saes")
        scores(load("org/tiny", "org/tiny-saes"))

    @pytest.mark.usefixtures("published")
    def test_a_missing_shard_is_named(self, hub: LocalHub, checkpoint: Path):
        files = {p.name: p.read_bytes() for p in checkpoint.iterdir() if p.is_file()}
        index = {
            "metadata": {},
            "weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"},
        }
        hub.publish("org/tiny", {**files, "model.safetensors.index.json": json.dumps(index)})
        with pytest.raises(AuditError, match=r"lacks model-2\.safetensors, which its index names"):
            load("org/tiny", "org/tiny-saes")


class TestAdapters:
    @pytest.fixture
    def adapter(self, family: str, tmp_path: Path) -> Path:
        from peft import LoraConfig, get_peft_model

        torch.manual_seed(3)
        config = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
        tuned: Any = get_peft_model(tiny.model(family), config)
        tuned.save_pretrained(tmp_path / "adapter")
        return tmp_path / "adapter"

    def test_an_adapter_changes_the_answers_and_the_hash(self, checkpoint: Path, adapter: Path):
        saes = str(checkpoint / "saes")
        base = load(str(checkpoint), saes)
        tuned = load(str(checkpoint), saes, options=ModelOptions(adapter=str(adapter)))
        assert not np.allclose(scores(base), scores(tuned), atol=1e-3)
        assert tuned.identity.id.endswith(f" + {adapter}")
        assert tuned.identity.sha256 != base.identity.sha256

    def test_it_answers_as_peft_does(self, checkpoint: Path, family: str, adapter: Path):
        from peft import PeftModel

        theirs: Any = PeftModel.from_pretrained(tiny.model(family), str(adapter)).eval()
        ours = load(
            str(checkpoint), str(checkpoint / "saes"), options=ModelOptions(adapter=str(adapter))
        )
        ids = ours.template.tokens(PROMPT.text)[None]
        with torch.no_grad():
            torch.testing.assert_close(
                ours.network(input_ids=ids).logits, theirs(input_ids=ids).logits
            )

    def test_from_the_hub(self, hub: LocalHub, checkpoint: Path, adapter: Path):
        hub.publish("org/lora", adapter)
        saes = str(checkpoint / "saes")
        tuned = load(str(checkpoint), saes, options=ModelOptions(adapter="org/lora"))
        local = load(str(checkpoint), saes, options=ModelOptions(adapter=str(adapter)))
        assert scores(tuned) == scores(local)

    def test_one_for_another_model(self, checkpoint: Path, adapter: Path):
        weights = adapter / "adapter_config.json"
        config = json.loads(weights.read_text())
        weights.write_text(json.dumps({**config, "target_modules": ["elsewhere"]}))
        with pytest.raises(AuditError, match=r"does not fit"):
            load(
                str(checkpoint),
                str(checkpoint / "saes"),
                options=ModelOptions(adapter=str(adapter)),
            )

    def test_a_folder_that_is_no_adapter(self, checkpoint: Path, tmp_path: Path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(AuditError, match=r"no PEFT adapter .* no adapter_config\.json"):
            load(
                str(checkpoint),
                str(checkpoint / "saes"),
                options=ModelOptions(adapter=str(tmp_path / "empty")),
            )


class TestOptions:
    @pytest.mark.parametrize(
        "options",
        [
            ModelOptions(device_map="auto"),
            # One layer's weights are read from disk each time it runs.
            ModelOptions(device_map={**dict.fromkeys(MODULES, "cpu"), "model.layers.1": "disk"}),
            ModelOptions(attn_implementation="eager"),
        ],
        ids=["device_map", "on_disk", "eager"],
    )
    def test_ways_of_loading_change_no_answer(self, checkpoint: Path, options: ModelOptions):
        saes = str(checkpoint / "saes")
        plain = scores(load(str(checkpoint), saes))
        np.testing.assert_allclose(
            scores(load(str(checkpoint), saes, options=options)), plain, atol=1e-4
        )

    def test_eager_attention_is_what_was_asked_for(self, checkpoint: Path):
        subject = load(
            str(checkpoint),
            str(checkpoint / "saes"),
            options=ModelOptions(attn_implementation="eager"),
        )
        assert subject.network.config._attn_implementation == "eager"

    def test_fewer_bits_need_a_library(self, checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(
            AuditError, match=r"needs bitsandbytes; install it with .*\[quantized\]"
        ):
            load(
                str(checkpoint), str(checkpoint / "saes"), options=ModelOptions(quantization="8bit")
            )

    def test_a_checkpoints_own_code_runs_only_where_asked(
        self, hub: LocalHub, checkpoint: Path, tmp_path: Path
    ):
        own = tmp_path / "own"
        model = tiny.model("llama")
        model.save_pretrained(own)
        tiny.tokenizer().save_pretrained(own)
        config = json.loads((own / "config.json").read_text())
        config["auto_map"] = {
            "AutoConfig": "own_code.OwnConfig",
            "AutoModelForCausalLM": "own_code.OwnForCausalLM",
        }
        (own / "config.json").write_text(json.dumps({**config, "model_type": "own_kind"}))
        (own / "own_code.py").write_text(_OWN_CODE.format(proof=str(tmp_path / "code-ran")))
        hub.publish("org/own", own)
        saes = str(checkpoint / "saes")
        with pytest.raises(AuditError, match=r"needs code that comes with it.*--trust-remote-code"):
            load("org/own", saes)
        assert not (tmp_path / "code-ran").exists()
        trusted = load("org/own", saes, options=ModelOptions(trust_remote_code=True))
        assert (tmp_path / "code-ran").exists()
        assert type(trusted.network).__name__ == "OwnForCausalLM"


_OWN_CODE = """
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM

Path({proof!r}).touch()


class OwnConfig(LlamaConfig):
    model_type = "own_kind"


class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""


class TestWithImages:
    """Gemma-3 checkpoints of 4B and more also see images; their language model lies further in."""

    def test_the_language_model_inside_is_audited(self, tmp_path: Path):
        from transformers import Gemma3Config, Gemma3ForConditionalGeneration, SiglipVisionConfig

        torch.manual_seed(0)
        text = tiny.model("gemma3").config
        vision = SiglipVisionConfig(
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            image_size=28,
            patch_size=14,
        )
        config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
        Gemma3ForConditionalGeneration(config).eval().save_pretrained(tmp_path)
        tiny.tokenizer().save_pretrained(tmp_path)
        for layer in range(tiny.N_LAYERS):
            tiny.sae("jumprelu", layer).save_model(tmp_path / "saes" / f"layer_{layer}")
        subject = load(str(tmp_path), str(tmp_path / "saes"))
        assert subject.n_layers == tiny.N_LAYERS
        found = scores(subject)
        assert found[0] != found[1]
        question = (PROMPT, SETS[1])
        assert subject.generate([question], 4)[0] == subject.reference_generate(*question, 4)


class TestKeptOnTheHost:
    """Whole SAEs beside the device: matrices come and go, the answers stay."""

    @pytest.mark.parametrize("kind", ["jumprelu", "gated", "topk", "standard"])
    @pytest.mark.parametrize("error_term", [ErrorTerm.KEPT, ErrorTerm.DROPPED])
    def test_every_answer_is_the_same(self, kind: str, error_term: ErrorTerm):
        options: dict[str, Any] = {"normalize_activations": "layer_norm"}
        saes = [tiny.sae(kind, layer, **options) for layer in range(3)]
        plain, parked = (tiny.subject_in_memory("gemma2", saes) for _ in range(2))
        for layer, dictionary in parked.suite.items():
            parked.suite[layer] = Sae(dictionary.sae, layer=layer, id="", sha256="", device="cpu")
            assert parked.suite[layer].kept_on_host
        ablation = Ablation(error_term=error_term)
        asked = [subject.refusal_score(PROMPT, ablation)(SETS) for subject in (plain, parked)]
        np.testing.assert_array_equal(asked[0], asked[1])
        for name in ("peak_activations", "mean_activations"):
            both = [getattr(subject, name)([PROMPT]) for subject in (plain, parked)]
            for layer in range(3):
                np.testing.assert_array_equal(both[0][layer], both[1][layer])
        drops = [subject.attribution(PROMPT) for subject in (plain, parked)]
        np.testing.assert_array_equal(drops[0][2], drops[1][2])

    def test_the_matrices_are_back_after_each_use(self):
        sae = tiny.sae("standard", 0).requires_grad_(requires_grad=False)
        dictionary = Sae(sae, layer=0, id="", sha256="", device="cpu")
        before = sae.W_enc.data_ptr()
        with pytest.raises(RuntimeError):
            dictionary.encode(torch.zeros(1, 1, tiny.D_MODEL + 1))
        assert sae.W_enc.data_ptr() == before
