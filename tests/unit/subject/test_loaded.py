"""What was loaded is what was named: no weight is random, none is left out, no stray file acts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sae_audit.config import JudgeSettings
from sae_audit.errors import AuditError
from sae_audit.subject import ModelOptions, load_judge
from sae_audit.subject.checkpoint.checkpoint import Checkpoint
from sae_audit.subject.checkpoint.loaded import Keys, check_keys, check_values, foreseen
from sae_audit.subject.checkpoint.pretrained import model_class
from tests import tiny

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny llama with its tokenizer."""
    folder = tmp_path_factory.mktemp("llama")
    tiny.model("llama").save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "model"))


def network(folder: Path, **options: Any) -> Any:
    return Checkpoint(str(folder), ModelOptions(**options)).network("cpu")


def change(folder: Path, how: Callable[[Tensors], Tensors]) -> None:
    file = folder / "model.safetensors"
    save_file(how(load_file(file)), file, metadata={"format": "pt"})


def configure(folder: Path, name: str = "config.json", **changes: Any) -> None:
    file = folder / name
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def without(part: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: t for name, t in tensors.items() if part not in name}


class TestTensors:
    """Each is told from the headers, and again if the headers had not told it."""

    CASES = (
        (without("layers.1.mlp"), r"lacks model\.layers\.1\.mlp\.down_proj\.weight \(3 tensors"),
        (without("lm_head"), r"lacks lm_head\.weight \(1 tensor .*tie_word_embeddings to true"),
        (
            lambda tensors: {f"language_model.{name}": t for name, t in tensors.items()},
            r"lacks lm_head\.weight \(30 tensors .*with 'language_model\.' before their names",
        ),
        (
            lambda tensors: {**tensors, "model.norm.weight": torch.ones(17)},
            r"holds model\.norm\.weight as \[17\], but its config\.json makes it \[16\]",
        ),
        (
            lambda tensors: {**tensors, "model.layers.0.self_attn.q_proj.bias": torch.ones(16)},
            r"holds model\.layers\.0\.self_attn\.q_proj\.bias, for which .* no place \(1 tensor",
        ),
        (
            lambda tensors: {
                **{name: t for name, t in tensors.items() if "lm_head" not in name},
                "score.weight": torch.ones(2, 16),
            },
            r"lacks lm_head\.weight .*; they hold score\.weight, as a model with another head",
        ),
        (
            lambda tensors: {
                name: (t * 10).to(torch.int8) if "layers.1.mlp" in name else t
                for name, t in tensors.items()
            },
            r"holds model\.layers\.1\.mlp\.\w+\.weight in the type I8, and its config\.json has no",
        ),
        (
            lambda tensors: {
                name: t.to(torch.float8_e4m3fn) if "layers.1.mlp" in name else t
                for name, t in tensors.items()
            },
            r"holds model\.layers\.1\.mlp\.\w+\.weight in the type F8_E4M3, and its config\.json has",
        ),
        (
            lambda tensors: {**tensors, "v_head.weight": torch.ones(16)},
            r"holds v_head\.weight, for which .* no place",
        ),
    )

    @pytest.mark.parametrize(("how", "message"), CASES)
    @pytest.mark.parametrize("headers", [True, False])
    def test_other_tensors_than_the_models_are_refused(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        how: Callable[[Tensors], Tensors],
        message: str,
        headers: bool,
    ):
        change(folder, how)
        if not headers:
            monkeypatch.setattr("sae_audit.subject.checkpoint.loaded.foreseen", lambda *_: None)
        with pytest.raises(AuditError, match=message):
            network(folder)

    def test_more_layers_than_the_config_says(self, folder: Path):
        configure(folder, num_hidden_layers=2)
        with pytest.raises(AuditError, match=r"layers up to 2, num_hidden_layers is 2"):
            network(folder)

    def test_fewer_layers_than_the_config_says(self, folder: Path):
        configure(folder, num_hidden_layers=12)
        with pytest.raises(AuditError, match=r"lacks model\.layers\.3\..* \(81 tensors"):
            network(folder)

    @pytest.mark.parametrize(
        "name",
        [
            "model.layers.0.self_attn.rotary_emb.inv_freq",
            "model.layers.2.attention.masked_bias",
            "mtp.layers.0.mlp.up_proj.weight",
        ],
    )
    def test_what_old_and_new_files_hold_beside_is_no_fault(self, folder: Path, name: str):
        plain = network(folder).state_dict()
        change(folder, lambda tensors: {**tensors, name: torch.ones(2, 2)})
        for key, value in network(folder).state_dict().items():
            torch.testing.assert_close(value, plain[key], rtol=0, atol=0)

    def test_a_tied_head_need_not_be_in_the_file(self, tmp_path: Path):
        tiny.model("gemma2").save_pretrained(tmp_path)
        assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
        made = network(tmp_path)
        assert made.lm_head.weight is made.model.embed_tokens.weight

    def test_every_tiny_family_is_foreseen_whole(self):
        """The rehearsal calls nothing missing that transformers itself wrote."""
        for family in ("gemma2", "gemma3", "llama"):
            made = tiny.model(family)
            shapes = {name: tuple(t.shape) for name, t in made.state_dict().items()}
            found = model_class(made.config, "AutoModelForCausalLM")
            assert found is not None
            keys = foreseen(found[1], found[2], shapes)
            assert keys == Keys(missing=(), unexpected=(), mismatched=())

    def test_vision_towers_are_left_out_of_a_text_class_alone(self):
        class Whole:
            quantization_config = None

            def get_text_config(self) -> "Whole":
                return self

        class Part(Whole):
            def get_text_config(self) -> Whole:
                return Whole()

        keys = Keys(missing=(), unexpected=("vision_tower.patch.weight",), mismatched=())
        check_keys(keys, {}, Part(), "x")
        with pytest.raises(AuditError, match=r"vision_tower"):
            check_keys(keys, {}, Whole(), "x")


class TestValues:
    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_weights_that_are_no_numbers(self, folder: Path, value: float):
        def broken(tensors: Tensors) -> Tensors:
            tensors["model.layers.1.mlp.up_proj.weight"][0, 0] = value
            return tensors

        change(folder, broken)
        with pytest.raises(AuditError, match=r"no numbers .* in model\.layers\.1\.mlp\.up_proj"):
            network(folder)

    def test_weights_that_the_type_cannot_hold(self, folder: Path):
        def large(tensors: Tensors) -> Tensors:
            tensors["model.norm.weight"][0] = 1e6
            return tensors

        change(folder, large)
        with pytest.raises(AuditError, match=r"float16 cannot hold .*--dtype float32"):
            network(folder, dtype="float16")
        assert network(folder, dtype="float32").model.norm.weight[0] == 1e6

    def test_memory_that_holds_another_files_values(self, folder: Path):
        made = network(folder)
        files = [folder / "model.safetensors"]
        check_values(made, files, "x")
        with torch.no_grad():
            made.model.embed_tokens.weight[-1, 3] += 1.0
        with pytest.raises(AuditError, match=r"other values of model\.embed_tokens\.weight"):
            check_values(made, files, "x")

    def test_a_file_cut_short(self, folder: Path):
        file = folder / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-100])
        with pytest.raises(AuditError, match=r"is no whole safetensors file"):
            network(folder)


class TestStrays:
    def adapter(self, folder: Path) -> Path:
        from peft import LoraConfig, get_peft_model

        torch.manual_seed(3)
        config = LoraConfig(target_modules=["q_proj"], init_lora_weights=False)
        get_peft_model(tiny.model("llama"), config).save_pretrained(str(folder))
        return folder

    def test_adapter_files_beside_the_weights(self, folder: Path, tmp_path: Path):
        apart = self.adapter(tmp_path / "adapter")
        for file in apart.iterdir():
            if file.name != "README.md":
                shutil.copy(file, folder)
        with pytest.raises(AuditError, match=r"holds adapter_config\.json.* pass --adapter"):
            network(folder)
        # Asked for, it acts, and acts once.
        asked = Checkpoint(str(folder), ModelOptions(adapter=str(folder)))
        assert asked.weights == [folder / "model.safetensors"]
        ids = torch.arange(12)[None]
        with pytest.raises(AuditError, match=r"holds adapter_config\.json"):
            Checkpoint(str(folder), ModelOptions(adapter=str(apart)))
        (folder / "adapter_config.json").unlink()
        (folder / "adapter_model.safetensors").unlink()
        once = network(folder, adapter=str(apart))(input_ids=ids).logits
        self.adapter(folder)
        torch.testing.assert_close(asked.network("cpu")(input_ids=ids).logits, once)

    def test_an_adapter_given_as_the_model(self, tmp_path: Path):
        self.adapter(tmp_path)
        configure(tmp_path, "adapter_config.json", base_model_name_or_path="org/base")
        with pytest.raises(
            AuditError, match=rf"is an adapter, no model.*--model org/base --adapter {tmp_path}"
        ):
            Checkpoint(str(tmp_path), ModelOptions())

    @pytest.mark.parametrize(
        "key", ["transformers_weights", "fusion_config", "configuration_files"]
    )
    def test_a_config_that_has_other_weights_or_modules_loaded(self, folder: Path, key: str):
        configure(folder, **{key: "other.safetensors"})
        with pytest.raises(AuditError, match=rf"has {key}, which .*remove it"):
            network(folder)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"attn_implementation": "org/kernel"}, r"code of a repository compute attention"),
            ({"text_config": {"_attn_implementation": "org/k"}}, r"code of a repository"),
            ({"return_dict": False}, r"has return_dict: false"),
        ],
    )
    def test_settings_that_change_how_it_runs(
        self, folder: Path, changes: dict[str, Any], message: str
    ):
        configure(folder, **changes)
        with pytest.raises(AuditError, match=message):
            Checkpoint(str(folder), ModelOptions())

    def test_shards_of_a_distributed_checkpoint(self, folder: Path):
        (folder / "shard-00001-model-00001-of-00002.safetensors").write_bytes(b"")
        with pytest.raises(AuditError, match=r"read in place of its weights"):
            network(folder)

    def test_safetensors_beside_that_are_not_read_are_not_hashed(self, folder: Path):
        before = Checkpoint(str(folder), ModelOptions()).sha256
        save_file({"x": torch.ones(2)}, folder / "optimizer.safetensors")
        assert Checkpoint(str(folder), ModelOptions()).sha256 == before


class TestFolders:
    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (["consolidated.00.pth", "params.json"], r"Meta's own format"),
            (["README.md"], r"no config\.json; give the folder that save_pretrained"),
        ],
    )
    def test_what_is_no_checkpoint(self, tmp_path: Path, names: list[str], message: str):
        for name in names:
            (tmp_path / name).write_text("x")
        with pytest.raises(AuditError, match=message):
            Checkpoint(str(tmp_path), ModelOptions())

    def test_a_file_in_place_of_a_folder(self, tmp_path: Path):
        file = tmp_path / "consolidated.00.pth"
        file.write_text("x")
        with pytest.raises(AuditError, match=r"is a file; give the folder"):
            Checkpoint(str(file), ModelOptions())

    def test_pickled_weights_are_refused_with_what_to_do(self, folder: Path):
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        with pytest.raises(
            AuditError, match=r"pickled ones \(pytorch_model\.bin\).*save_pretrained"
        ):
            network(folder)

    @pytest.mark.parametrize(
        "index",
        [
            '{"weight_map": {"a": "model.safetensors"}}',
            "[]",
            '{"weight_map": [1]}',
            "nonsense",
            '{"weight_map": {}}',
        ],
    )
    def test_an_index_that_is_none(self, folder: Path, index: str):
        (folder / "model.safetensors.index.json").write_text(index)
        with pytest.raises(AuditError, match=r"no index of weight files|is no JSON"):
            network(folder)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"num_hidden_layers": 10**9}, r"num_hidden_layers: 1000000000, and no model has more"),
            ({"vocab_size": "339"}, r"has vocab_size: '339', where a whole number"),
            ({"hidden_size": [16]}, r"has hidden_size: \[16\], where a whole number"),
            ({"intermediate_size": 10**12}, r"has intermediate_size: 1000000000000"),
            ({"hidden_size": 20}, r"holds .* as \[.*16.*\], but its config\.json makes it"),
            ({"eos_token_id": [[2], {}]}, r"transformers cannot load|eos_token_id"),
        ],
    )
    def test_configs_that_no_model_has(self, folder: Path, changes: dict[str, Any], message: str):
        configure(folder, **changes)
        with pytest.raises(AuditError, match=message):
            network(folder)

    def test_without_its_tokenizer_a_folder_is_refused(self, tmp_path: Path):
        tiny.model("gemma2").save_pretrained(tmp_path)
        with pytest.raises(AuditError, match=r"has no tokenizer"):
            Checkpoint(str(tmp_path), ModelOptions()).tokenizer()
        tiny.tokenizer().save_pretrained(tmp_path)
        assert Checkpoint(str(tmp_path), ModelOptions()).tokenizer()
        (tmp_path / "tokenizer.json").unlink()  # its config alone holds no words
        with pytest.raises(AuditError, match=r"tokenizer"):
            Checkpoint(str(tmp_path), ModelOptions()).tokenizer()

    def test_a_tokenizer_to_which_all_texts_are_one(self, folder: Path):
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast

        backend = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        made = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
        made.save_pretrained(folder)
        with pytest.raises(AuditError, match=r"different texts the same tokens"):
            Checkpoint(str(folder), ModelOptions()).tokenizer()

    def test_a_broken_tokenizer(self, folder: Path):
        (folder / "tokenizer.json").write_text("{}")
        with pytest.raises(AuditError, match=r"The tokenizer in .* is broken: .*added_tokens"):
            Checkpoint(str(folder), ModelOptions()).tokenizer()


class TestSettings:
    def test_every_small_file_counts(self, folder: Path):
        opened = Checkpoint(str(folder), ModelOptions())
        names = [file.name for file in opened.small_files["model"]]
        assert {"config.json", "generation_config.json", "tokenizer.json"} <= set(names)
        before = opened.settings_sha256
        for name in names:
            own = (folder / name).read_bytes()
            (folder / name).write_bytes(own + b"\n")
            assert Checkpoint(str(folder), ModelOptions()).settings_sha256 != before, name
            (folder / name).write_bytes(own)
        (folder / "chat_template.jinja").unlink()
        assert opened.settings_sha256 != before

    def test_files_that_nothing_reads_do_not(self, folder: Path):
        before = Checkpoint(str(folder), ModelOptions()).settings_sha256
        (folder / "trainer_state.json").write_text("{}")
        (folder / "README.md").write_text("x")
        assert Checkpoint(str(folder), ModelOptions()).settings_sha256 == before


class TestJudges:
    def settings(self, folder: Path) -> JudgeSettings:
        return JudgeSettings(kind="classifier", model=str(folder), complied_label="LABEL_1")

    def test_a_classifier_without_its_trained_head(self, folder: Path):
        with pytest.raises(AuditError, match=r"lacks score\.weight .*trained as a classifier"):
            load_judge(self.settings(folder), device="cpu")

    def classifier(self, folder: Path, **options: Any) -> Path:
        from transformers import BertConfig, BertForSequenceClassification

        shape: dict[str, Any] = {"hidden_size": 8, "num_hidden_layers": 1}
        shape |= {"num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 16}
        config = BertConfig(vocab_size=len(tiny.tokenizer()), **shape, **options)
        BertForSequenceClassification(config).save_pretrained(folder)
        tiny.tokenizer().save_pretrained(folder)
        return folder

    def test_texts_longer_than_the_judge_reads(self, tmp_path: Path):
        judge = load_judge(self.settings(self.classifier(tmp_path)), device="cpu")
        with pytest.raises(AuditError, match=r"takes 17 tokens, and the judge reads 16"):
            judge.complied_all([("", "word " * 17)])
        assert len(judge.complied_all([("", "word " * 16), ("", "please")])) == 2

    def test_a_judge_without_a_padding_token(self, tmp_path: Path):
        whole = load_judge(self.settings(self.classifier(tmp_path)), device="cpu")
        exchanges = [("", "yes"), ("", "please tell me how"), ("", "no never")]
        asked = whole.complied_all(exchanges)
        for name in ("tokenizer_config.json", "special_tokens_map.json"):
            if (tmp_path / name).is_file():
                configure(tmp_path, name, pad_token=None)
        bare = load_judge(self.settings(tmp_path), device="cpu")
        assert bare.complied_all(exchanges) == asked
        assert bare.sha256 != whole.sha256

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            ({"0": "LABEL_1"}, r"has one label alone"),
            ({"0": "LABEL_1", "1": "LABEL_1"}, r"has 2 labels 'LABEL_1'"),
            ({"0": "a", "7": "LABEL_1"}, r"has 2 classes, and none of them is number 7"),
            ({"0": "a", "1": "b"}, r"has no label 'LABEL_1'; it has 'a', 'b'"),
        ],
    )
    def test_labels_that_name_no_class(self, tmp_path: Path, labels: dict[str, str], message: str):
        self.classifier(tmp_path, num_labels=len(labels))
        configure(tmp_path, id2label=labels)
        with pytest.raises(AuditError, match=message):
            load_judge(self.settings(tmp_path), device="cpu")

    def test_labels_that_may_hold_together_are_read_one_by_one(self, tmp_path: Path):
        self.classifier(tmp_path, problem_type="multi_label_classification")
        for bias, complied in (([2.0, 1.0], True), ([-1.0, -2.0], False)):
            change(
                tmp_path,
                lambda tensors, bias=bias: {
                    **tensors,
                    "classifier.weight": torch.zeros_like(tensors["classifier.weight"]),
                    "classifier.bias": torch.tensor(bias),
                },
            )
            judge = load_judge(self.settings(tmp_path), device="cpu")
            assert judge.complied_all([("", "please")]) == [complied]

    def test_a_text_without_a_token_did_not_comply(self, tmp_path: Path):
        judge = load_judge(self.settings(self.classifier(tmp_path)), device="cpu")
        (answered,) = judge.complied_all([("", "please")])
        assert judge.complied_all([("", "")]) == [False]
        assert judge.complied_all([("", ""), ("", "please")]) == [False, answered]

    def test_words_that_the_judge_has_no_embedding_of(self, tmp_path: Path):
        self.classifier(tmp_path)
        words = tiny.tokenizer()
        words.add_tokens(["gizmo"])
        words.save_pretrained(tmp_path)
        judge = load_judge(self.settings(tmp_path), device="cpu")
        assert len(judge.complied_all([("", "please")])) == 1
        with pytest.raises(AuditError, match=r"added to the judge's tokenizer with the id 28"):
            judge.complied_all([("", "please"), ("", "please gizmo")])
        configure(tmp_path, vocab_size=20)
        change(
            tmp_path,
            lambda tensors: {
                n: t[:20] if "word_embeddings" in n else t for n, t in tensors.items()
            },
        )
        with pytest.raises(AuditError, match=r"has embeddings of ids up to 19"):
            load_judge(self.settings(tmp_path), device="cpu")


@pytest.mark.parametrize("name", ["x" * 300, "~nobody-there/model", "a\x00b", "\x1b[2J/\u202e"])
def test_names_that_name_nothing(name: str):
    with pytest.raises(AuditError, match=r"names no folder|No model folder") as refused:
        Checkpoint(name, ModelOptions())
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize("ids", ["22", [2, "3"], [[2]], {"a": 1}, True, 2.5])
@pytest.mark.parametrize("file", ["generation_config.json", "config.json"])
def test_ids_of_ends_that_are_none(folder: Path, file: str, ids: Any):
    configure(folder, file, eos_token_id=ids)
    with pytest.raises(AuditError, match=r"eos_token_id: .* where a token's id"):
        Checkpoint(str(folder), ModelOptions())
