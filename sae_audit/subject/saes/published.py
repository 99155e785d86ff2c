"""Publishers' own configs, checked against what sae_lens' converters read of them."""

import re

from sae_audit.subject.saes.settings import Settings

DICTIONARY_CLASSES = {
    "AutoEncoder",
    "GatedAutoEncoder",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
    "JumpReluAutoEncoder",
}
"""Classes of dictionary_learning that sae_lens' converter implements; it reads every other class as
AutoEncoder."""


def check_published(format: str, settings: Settings) -> None:
    """Refuse settings of a publisher's config that its converter ignores.

    Raises:
        AuditError: A setting is missing, of another kind, or unsupported.
    """
    match format:
        case "llama_scope" | "llama_scope_r1_distill":
            _check_llama_scope(format, settings)
        case "dictionary_learning_1":
            _check_dictionary_learning(settings)
        case "gemma_3":
            settings.one_of("architecture", {"jump_relu"}, "kinds")
            settings.word("model_name")
            hook = settings.said.get("hf_hook_point_in")
            if hook is not None and layer_of_hook(hook) is None:
                raise settings.wrong(
                    "hf_hook_point_in", "model.layers.N.output, the residual stream"
                )
            settings.refuse("affine_connection", "transcoders are not read")
            settings.refuse("hf_hook_point_out", "transcoders are not read", unless=(None,))
        case "sparsify":
            _check_sparsify(settings)


def layer_of_hook(hook: object) -> int | None:
    """The layer whose output an SAE of Gemma Scope 2 reads; None for other hook points."""
    match = re.fullmatch(r"model\.layers\.(\d{1,5})\.output", hook if isinstance(hook, str) else "")
    return None if match is None else int(match[1])


def norm_factor(settings: Settings) -> float | None:
    """Input scale of an SAE of Llama Scope: sqrt(d_model) over the mean norm; None if not given."""
    norms = settings.inner("dataset_average_activation_norm")
    found = "in" if "in" in norms.said else settings.said.get("hook_point_in")
    if not isinstance(found, str) or found not in norms.said:
        return None
    mean = norms.number(found)
    if mean <= 0:
        raise norms.wrong(found, "a number above 0")
    return settings.whole("d_model") ** 0.5 / mean


def _check_llama_scope(format: str, settings: Settings) -> None:
    settings.whole("d_model")
    hook = settings.word("hook_point_in")
    settings.refuse("hook_point_out", "transcoders are not read", unless=(None, hook))
    settings.one_of("act_fn", {"jumprelu"}, "activation functions")
    settings.one_of("norm_activation", {"dataset-wise"}, "ways to scale an input")
    settings.refuse("use_glu_encoder", "gated linear encoders are not read")
    settings.refuse("apply_decoder_bias_to_pre_encoder", "sae_lens' converter does not read it")
    norm_factor(settings)
    if format == "llama_scope":
        settings.whole("d_sae")
        settings.number("jump_relu_threshold")
        settings.inner("dataset_average_activation_norm").number("in")
    else:
        settings.whole("expansion_factor")


def _check_dictionary_learning(settings: Settings) -> None:
    trainer = settings.inner("trainer")
    kind = trainer.word("dict_class")
    trainer.one_of("dict_class", DICTIONARY_CLASSES, "classes")
    for key in ("activation_dim", "dict_size"):
        trainer.whole(key)
    layer = trainer.said.get("layer")
    if not isinstance(layer, int) or isinstance(layer, bool) or layer < 0:
        raise trainer.wrong("layer", "the number of a layer")
    trainer.word("lm_name")
    if kind == "AutoEncoderTopK":
        trainer.whole("k")
    stream = trainer.said.get("submodule_name")
    if stream is not None and not re.match("resid_post", stream if isinstance(stream, str) else ""):
        raise trainer.wrong("submodule_name", "resid_post_layer_N, the residual stream")
    named = re.search(r"\d+$", stream or "")
    if named is not None and int(named[0]) != layer:
        raise trainer.wrong(
            "submodule_name", f"resid_post_layer_{layer}, for it says layer {layer}"
        )
    settings.inner("buffer")


def _check_sparsify(settings: Settings) -> None:
    settings.whole("d_in")
    settings.whole("k")
    settings.whole("num_latents" if settings.said.get("num_latents") else "expansion_factor")
    settings.one_of("activation", {"topk"}, "activation functions")
    settings.refuse("signed", "signed top-k SAEs are not read")
    settings.refuse("transcode", "transcoders are not read")
    settings.refuse("skip_connection", "skip transcoders are not read")
