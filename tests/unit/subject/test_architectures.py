"""Architectures taken apart by what their modules do, and those that cannot be, in a sentence."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers

from benchmarks import architectures
from sae_audit.errors import AuditError
from sae_audit.subject.intervention.additions import Additions
from sae_audit.subject.intervention.beginnings import Beginnings
from sae_audit.subject.model.architecture import architecture_obstacle
from sae_audit.subject.model.budget import Budget, bytes_per_token
from sae_audit.subject.model.clean_run import CleanRuns
from sae_audit.subject.model.decoder_layers import DecoderLayers
from sae_audit.subject.model.directional_ablation import (
    at_all_writers,
    everywhere,
    project_out_of_rows,
)
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.head import Head
from sae_audit.subject.model.hooks import LayerModules, edited, watched
from sae_audit.subject.model.layer_modules import decoder_layers_of, layer_modules
from sae_audit.subject.model.miniature import miniature
from sae_audit.subject.model.structure import check_structure, check_writers

FIRST = torch.tensor([5, 9, 30, 41, 7, 17, 60, 22, 11])
SECOND = torch.tensor([5, 9, 31, 42, 17, 60, 11])
WRITERS = {
    "llama": ["self_attn", "mlp"],
    "gemma2": ["post_attention_layernorm", "post_feedforward_layernorm"],
    "gemma3_text": ["post_attention_layernorm", "post_feedforward_layernorm"],
    "gemma4_text": [
        "post_attention_layernorm",
        "post_feedforward_layernorm",
        "post_per_layer_input_norm",
    ],
    "qwen2": ["self_attn", "mlp"],
    "qwen3": ["self_attn", "mlp"],
    "mistral": ["self_attn", "mlp"],
    "glm4": ["post_self_attn_layernorm", "post_mlp_layernorm"],
    "phi": ["self_attn", "mlp"],
    "phi3": ["self_attn", "mlp"],
    "olmo2": ["post_attention_layernorm", "post_feedforward_layernorm"],
    "granite": ["self_attn", "mlp"],
    "cohere": ["self_attn", "mlp"],
    "gpt_neox": ["attention", "mlp"],
    "gpt2": ["attn", "mlp"],
    "bloom": ["self_attention.dense", "mlp.dense_4h_to_h"],
    "opt": ["self_attn", "fc2"],
    "stablelm": ["self_attn", "mlp"],
    "deepseek_v2": ["self_attn", "mlp"],
    "mixtral": ["self_attn", "mlp"],
}


def config_of(name: str, **fields: Any) -> Any:
    needed = {"num_hidden_layers": 3, **architectures.NEEDED.get(name, {}), **fields}
    return transformers.CONFIG_MAPPING[name](**needed)


def model_of(name: str, **fields: Any) -> Any:
    made = miniature(config_of(name, **fields))
    assert made is not None, name
    return made


def left_of_a_direction(model: Any, modules: list[LayerModules]) -> float:
    """The largest share of a stream along a direction projected out everywhere."""
    width = model.config.get_text_config().hidden_size
    unit = torch.nn.functional.normalize(torch.linspace(-1, 2, width), dim=0)
    inputs, outputs = everywhere(modules, unit[None])
    with (
        torch.no_grad(),
        edited(inputs=inputs, outputs=outputs),
        watched(decoder_layers_of(model)) as calls,
    ):
        model(input_ids=FIRST[None], use_cache=False)
    streams = torch.stack([call.resid_post[0] for _, call in calls])
    return float(((streams @ unit).abs() / streams.norm(dim=-1)).max())


def test_attention_is_tried_on_wrong_lengths_by_a_kernel_that_checks_them(
    monkeypatch: pytest.MonkeyPatch,
):
    """cuDNN's kernel does not: with fewer values than keys it ends the process."""
    model = model_of("llama")
    attention = torch.nn.functional.scaled_dot_product_attention
    mismatched: list[bool] = []

    def recording(query: Any, key: Any, value: Any, **others: Any) -> Any:
        if key.shape[-2] != value.shape[-2]:
            mismatched.append(torch.backends.cuda.cudnn_sdp_enabled())
        return attention(query, key, value, **others)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", recording)
    layer_modules(model)
    assert mismatched
    assert not any(mismatched)
    assert torch.backends.cuda.cudnn_sdp_enabled(), "elsewhere it may be used"


@pytest.mark.parametrize("name", WRITERS)
def test_an_architecture_is_taken_apart_exactly(name: str, monkeypatch: pytest.MonkeyPatch):
    """Fast scores are the literal ones, a direction is gone, and the writers are those known."""
    monkeypatch.setattr(architectures, "_LAYERS", 3)
    tried = architectures.tried(name)
    assert (tried.found, tried.sentence) == ("exact", "")
    assert tried.difference is not None
    assert tried.difference < 1e-4
    model = model_of(name)
    modules = layer_modules(model)
    assert left_of_a_direction(model, modules) < 1e-5
    for own in modules:
        names = {module: name for name, module in own.layer.named_modules()}
        assert [names[module] for module in own.writers] == WRITERS[name]


@pytest.mark.parametrize("name", WRITERS)
def test_what_prompts_begin_with_may_be_run_apart_under_each_rows_direction(name: str):
    """Rows of several lengths under two directions: as each row alone, whole, and behind a beginning."""
    model = model_of(name)
    modules = layer_modules(model)
    passes = ForwardPasses(model, modules, Budget(1 << 12, 1))
    drawn = torch.Generator().manual_seed(1)
    units = torch.nn.functional.normalize(
        torch.randn(2, model.config.get_text_config().hidden_size, generator=drawn), dim=1
    )
    # Less than a window of attention.
    n = 10 if passes.begins_apart(10) else 3
    assert passes.begins_apart(n)
    head = torch.randint(5, 60, (n,), generator=drawn)
    ids = torch.stack(
        [torch.cat([head, torch.randint(5, 60, (6,), generator=drawn)]) for _ in "abc"]
    )
    lengths, own = [n + 6, n + 4, n + 5], [0, 1, 1]

    def without(rows: torch.Tensor) -> dict[str, Any]:
        inputs, outputs = at_all_writers(modules, project_out_of_rows(rows, units[:0]))
        return {"inputs": inputs, "outputs": outputs}

    alone = [
        passes.last_logits(ids[i : i + 1, : lengths[i]], **without(units[[own[i]]]))
        for i in range(3)
    ]
    whole = passes.last_logits(ids, lengths=lengths, **without(units[own]))
    torch.testing.assert_close(whole, torch.cat(alone), atol=1e-4, rtol=1e-4)
    begun = passes.begun(ids[:1, :n].expand(2, -1), **without(units))
    behind = passes.last_logits(
        ids[:, n:],
        lengths=[length - n for length in lengths],
        begun=passes.cache_of([begun[i] for i in own]),
        **without(units[own]),
    )
    torch.testing.assert_close(behind, torch.cat(alone), atol=1e-4, rtol=1e-4)
    unlike = passes.last_logits(ids, lengths=lengths, **without(units[[1, 0, 0]]))
    assert (unlike - whole).abs().amax(dim=1).min() > 1e-3


@pytest.mark.parametrize("name", WRITERS)
def test_layers_run_one_by_one_continue_a_beginning(name: str):
    """Prompts of several lengths with a direction added at several layers: as without a beginning."""
    model = model_of(name)
    modules = layer_modules(model)
    passes = ForwardPasses(model, modules, Budget(1 << 12, 1))
    stack = DecoderLayers(model, modules)
    drawn = torch.Generator().manual_seed(2)
    width = model.config.get_text_config().hidden_size
    directions = torch.randn(2, width, generator=drawn)[[0, 1, 1, 0, 1]]
    head = torch.randint(5, 60, (10,), generator=drawn)
    bodies = [torch.randint(5, 60, (n,), generator=drawn) for n in (6, 3, 5, 4, 6)]
    prompts, at = [torch.cat([head, body]) for body in bodies], [0, 1, 0, 2, 1]

    def logits(alike: list[int]) -> torch.Tensor:
        runs = CleanRuns(stack.clean_run, stack.check, lambda _: None)
        beginnings = Beginnings(alike, passes)
        additions = Additions(passes, stack, runs, beginnings, directions[:0])
        found = torch.zeros(5, model.config.get_text_config().vocab_size)
        for rows, own in additions.logits(prompts, directions, at):
            found[rows] = own
        return found

    apart, whole = logits(head.tolist()), logits([])
    torch.testing.assert_close(apart, whole, atol=1e-4, rtol=1e-4)
    unlike = logits(head.tolist())[[1, 0, 3, 2, 4]]
    assert (unlike - whole).abs().amax(dim=1)[:4].min() > 1e-3


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("jamba", {"num_hidden_layers": 8}, "keep more of a prompt than keys and values"),
        ("qwen3_next", {"num_hidden_layers": 4}, "keep more of a prompt than keys and values"),
        ("mamba", {}, "works on each position apart"),
        ("bart", {"num_hidden_layers": 2}, "is an encoder-decoder"),
        ("t5", {}, "is an encoder-decoder"),
        ("megatron-bert", {}, "depends on later ones"),
        ("bert", {}, "not the stream it was given plus"),
        ("gemma3n_text", {"num_hidden_layers": 35}, "stream of shape"),
        (
            "gemma4_text",
            {"num_hidden_layers": 12, "num_kv_shared_layers": 6},
            "share what they are handed as shared_kv_states",
        ),
        ("mixtral", {"num_hidden_layers": 0}, "does not say how many decoder layers"),
    ],
)
def test_others_are_refused_from_the_config(name: str, fields: dict[str, Any], said: str):
    obstacle = architecture_obstacle(config_of(name, **fields))
    assert said in obstacle
    assert obstacle.endswith(".")
    assert "\n" not in obstacle


def test_a_config_smaller_than_a_miniature():
    fields = {"vocab_size": 12, "hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 2}
    fields["num_attention_heads"] = fields["num_key_value_heads"] = 2
    assert architecture_obstacle(config_of("llama", **fields)) == ""
    assert miniature(config_of("llama", **fields)) is not None


def test_asking_of_a_config_changes_no_random_number():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    assert architecture_obstacle(config_of("llama", num_hidden_layers=2)) == ""
    assert torch.equal(torch.rand(2), expected)


def test_a_config_of_foreign_code_is_not_built():
    class Foreign(transformers.LlamaConfig):
        model_type = "foreign"

    Exploding.config_class = Foreign
    Foreign.__module__ = "transformers_modules.foreign"
    transformers.AutoModelForCausalLM.register(Foreign, Exploding)
    assert miniature(Foreign(num_hidden_layers=2)) is None
    assert architecture_obstacle(Foreign(num_hidden_layers=2)) == ""


class Exploding(transformers.LlamaForCausalLM):
    def __init__(self, config: Any):
        raise AssertionError(f"a checkpoint's code was run with {config}")


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_attention_without_weights_is_still_attention(name: str):
    """A layer that was pruned, or made by hand, mixes no positions and is told by what it is handed."""
    model = model_of(name)
    with torch.no_grad():
        for layer in decoder_layers_of(model):
            layer.get_submodule("self_attn.o_proj").weight[:] = 0.0  # type: ignore[index]
    modules = layer_modules(model)
    names = {module: name for name, module in modules[0].layer.named_modules()}
    assert [names[module] for module in modules[0].writers] == WRITERS[name]
    assert check_structure(model, modules, FIRST, SECOND) < 1e-4


class TestAModelThatIsNotWhatItIsTakenFor:
    def test_a_writer_before_the_norm_behind_it(self):
        """The control: hooks where Arditi et al. have them, in a block with norms behind."""
        model = model_of("glm4")
        modules = [
            replace(own, attention=own.layer.get_submodule("self_attn"))
            for own in layer_modules(model)
        ]
        assert left_of_a_direction(model, modules) > 0.01
        with pytest.raises(AuditError, match="layer 0 the stream and what attention and MLP add"):
            check_writers(model, modules, FIRST)

    def test_a_writer_left_out(self):
        model = model_of("gemma4_text")
        modules = [replace(own, others=()) for own in layer_modules(model)]
        with pytest.raises(AuditError, match="unexplained"):
            check_writers(model, modules, FIRST)

    def test_two_texts_that_are_one(self):
        model = model_of("llama")
        with pytest.raises(AuditError, match="become the same 9 tokens"):
            check_structure(model, layer_modules(model), FIRST, FIRST.clone())

    def test_two_prompts_with_one_stream(self):
        model = model_of("llama")
        modules = layer_modules(model)
        with torch.no_grad():
            model.get_input_embeddings().weight[:] = 1.0
        with pytest.raises(AuditError, match="same stream of two different texts"):
            check_structure(model, modules, FIRST, SECOND)

    def test_two_prompts_that_end_alike(self):
        """No fault: a model may make the same of what stands behind two requests."""
        model = model_of("llama")
        modules = layer_modules(model)
        with torch.no_grad():
            for own in modules:
                for writer in own.writers:
                    for weights in writer.parameters():
                        weights *= 1e-3
        last = FIRST.clone()
        last[2:4] = SECOND[2:4]
        check_structure(model, modules, FIRST, last)

    def test_weights_that_are_not_finite(self):
        model = model_of("llama")
        modules = layer_modules(model)
        with torch.no_grad():
            modules[1].mlp.get_submodule("down_proj").weight[0, 0] = torch.nan  # type: ignore[index]
        with pytest.raises(
            AuditError, match="stream behind layer 1 of LlamaForCausalLM is not finite in float32"
        ):
            check_structure(model, modules, FIRST, SECOND)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["gemma2", "glm4", "granite", "phi"])
def test_layers_are_found_in_16_bits_too(name: str, dtype: torch.dtype):
    model = model_of(name).to(dtype)
    modules = layer_modules(model)
    names = {module: name for name, module in modules[1].layer.named_modules()}
    assert [names[module] for module in modules[1].writers] == WRITERS[name]
    assert check_structure(model, modules, FIRST, SECOND) < 0.05


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("gemma2", {"final_logit_softcapping": 3.0}),
        ("cohere", {"logit_scale": 0.25}),
        ("granite", {"logits_scaling": 8.0, "residual_multiplier": 0.2}),
        ("minicpm3", {}),
        ("opt", {"word_embed_proj_dim": 16}),
        ("llama", {}),
    ],
)
def test_the_head_gives_the_models_own_logits(name: str, fields: dict[str, Any]):
    model = model_of(name, **fields)
    stack = DecoderLayers(model, layer_modules(model))
    run = stack.clean_run(FIRST)
    ours = Head(model)(run.resid[-1][-1:])[0]
    torch.testing.assert_close(ours, run.logits, rtol=1e-5, atol=1e-5)
    # The forward that was put aside for it is back.
    again = model(input_ids=FIRST[None], use_cache=False).logits[0, -1]
    torch.testing.assert_close(again, run.logits, rtol=1e-5, atol=1e-5)


def test_a_token_of_a_model_with_layers_of_several_widths():
    config = config_of("gemma3n_text", num_hidden_layers=35)
    assert bytes_per_token(config, 2) == 2 * (3 * max(config.intermediate_size) + 8 * 2048)


@pytest.mark.slow
def test_the_table_of_two_architectures():
    found = list(architectures.results(["llama", "mamba"]))
    assert [(one.name, one.found, one.beforehand) for one in found] == [
        ("llama", "exact", True),
        ("mamba", "refused", True),
    ]
    page = architectures.page(found)
    assert "| llama | exact | " in page
    assert "| mamba | refused | layer 0 of MambaForCausalLM cannot be audited" in page
    assert f"transformers {transformers.__version__}" in page
