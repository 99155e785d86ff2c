"""An SAE's config, checked key by key: a key that changes numbers is honoured or refused.

sae_lens has written its config in two forms. Until version 6 all keys stood on one level (before
mid-2024 without `architecture`, and with `hook_point` for `hook_name`); since then the keys outside
the arithmetic stand under `metadata`. Of these keys
  - `d_in`, `d_sae`, `architecture`, `dtype`, `k`, `apply_b_dec_to_input`, `normalize_activations` (none,
    layer_norm, constant_norm_rescale), `rescale_acts_by_decoder_norm` (top-k) are honoured by sae_lens;
  - `activation_fn`, `activation_fn_kwargs`, `reshape_activations`, `hook_head_index`, `hook_name_out`,
    `d_out`, `seqpos_slice`, `model_from_pretrained_kwargs`, `finetuning_scaling_factor` (with its
    tensor), and other values of the above are refused if they would change a number;
  - `base_weights_sha256` and `base_name` under `metadata` are compared with the audited checkpoint;
  - all others concern training (`noise_scale`, `context_size`, `prepend_bos`, `dataset_path`,
    coefficients, schedules) and change no result here.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from sae_audit.errors import AuditError
from sae_audit.subject.checkpoint.made_for import NamedBase, named_base
from sae_audit.subject.saes.layouts import joined
from sae_audit.subject.saes.place import SaePlace
from sae_audit.untrusted import SMALL_BYTES, read_json, shown

CONFIGS = {
    "sae_lens": "cfg.json",
    "sparsify": "cfg.json",
    "llama_scope": "hyperparams.json",
    "llama_scope_r1_distill": "config.json",
    "dictionary_learning_1": "config.json",
    "gemma_3": "config.json",
}
"""Name of the settings file, by format; for Gemma Scope 2 it may be missing."""
_DTYPES = {"float32", "float64", "float16", "bfloat16"}
_NORMALISED = {"none", "layer_norm", "constant_norm_rescale", "expected_average_only_in"}
_LARGEST = 1 << 31
_HOOK_LAYER = re.compile(r"(?:blocks|layers)\.(\d{1,5})(?:\.|$)")
_LAYER_NORM = re.compile(
    r"gpt-?2|gpt-?j|gpt-?neo|pythia|(?:^|/)opt-|phi-?[12]\b|bloom|stablelm|gelu-|solu",
    re.IGNORECASE,
)
"""Pattern of the names of models with LayerNorm."""
_OLD_NAMES = {
    "hook_point": "hook_name",
    "hook_point_head_index": "hook_head_index",
    "activation_fn_str": "activation_fn",
}


@dataclass(frozen=True, kw_only=True)
class SaeConfig:
    """Properties of an SAE, from its publisher's small files or their names."""

    d_model: int
    width: int
    """Number of features, d_sae."""
    hook: str | None
    architecture: str
    base: NamedBase | None = None
    """The model's weights that it was made for; None if its config names none."""


class Settings:
    """The settings in one file, each read as its required type.

    Raises:
        AuditError: A setting is missing, of another type, or unsupported.
    """

    def __init__(self, said: Any, what: str) -> None:
        if not isinstance(said, dict):
            raise AuditError(f"{what} holds no settings of an SAE; it has to be a JSON object.")
        self.said: dict[str, Any] = said
        self.what = what

    def whole(self, key: str) -> int:
        value = self._there(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < _LARGEST:
            raise self.wrong(key, "a whole number above 0")
        return value

    def number(self, key: str) -> float:
        value = self._there(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not _is_finite(value):
            raise self.wrong(key, "a number")
        return float(value)

    def word(self, key: str) -> str:
        value = self._there(key)
        if not isinstance(value, str):
            raise self.wrong(key, "a word")
        return value

    def one_of(self, key: str, words: set[str], meaning: str) -> str | None:
        """The word under `key`, None if absent; `meaning` describes the words in a message."""
        value = self.said.get(key)
        if value is not None and (not isinstance(value, str) or value not in words):
            raise self.wrong(key, f"{' or '.join(sorted(words))}, the {meaning} that are read")
        return value

    def inner(self, key: str) -> "Settings":
        """A group of settings; empty if absent."""
        value = self.said.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(key, "a JSON object")
        return Settings(value or {}, f"{key!r} in {self.what}")

    def refuse(self, key: str, why: str, *, unless: tuple[Any, ...] = (None, False)) -> None:
        value = self.said.get(key)
        if not any(value is allowed or value == allowed for allowed in unless):
            raise AuditError(f"{self.what} says {shown(key, 60)} is {shown(value, 60)}: {why}.")

    def wrong(self, key: str, needed: str) -> AuditError:
        value = shown(repr(self.said.get(key)), 60)
        return AuditError(f"{self.what} says {key} is {value}; it has to be {needed}.")

    def _there(self, key: str) -> Any:
        if self.said.get(key) is None:
            raise AuditError(f"{self.what} lacks {key!r}; is it the config of an SAE?")
        return self.said[key]


def settings_of(place: SaePlace) -> Settings | None:
    """The SAE's settings file; None for formats without one.

    Raises:
        AuditError: It is missing or unreadable; the hub's refusals.
    """
    name = CONFIGS.get(place.format)
    if name is None or (place.format == "gemma_3" and not place.has(joined(place.path, name))):
        return None
    if place.held is not None and place.held.sizes.get(joined(place.path, name), 0) > SMALL_BYTES:
        raise AuditError(
            f"{joined(place.path, name)} of {place.held.repository} is too large for a file of "
            "settings; is it the right repository?"
        )
    file = place.file(name)
    return Settings(read_json(file), shown(file))


def layer_said(place: SaePlace) -> int | None:
    """The layer that the SAE's config names; None if it names none.

    Raises:
        AuditError: As `settings_of`.
    """
    settings = settings_of(place)
    if settings is None:
        return None
    if place.format == "dictionary_learning_1":
        layer = settings.inner("trainer").said.get("layer")
        return layer if isinstance(layer, int) and 0 <= layer < 100_000 else None
    metadata = settings.said.get("metadata")
    kept = [settings.said, metadata if isinstance(metadata, dict) else {}]
    hooks = [
        one.get(key)
        for one in kept
        for key in ("hook_name", "hook_point", "hook_point_in", "hf_hook_point_in")
    ]
    found = [_HOOK_LAYER.search(hook) for hook in hooks if isinstance(hook, str)]
    return next((int(match[1]) for match in found if match is not None), None)


def described(settings: Settings) -> SaeConfig:
    """The properties of an SAE in sae_lens' own format, of any version.

    Raises:
        AuditError: A setting is missing, of another type, or unsupported.
    """
    metadata = settings.inner("metadata")
    is_old = _is_old(settings, metadata)
    one = Settings(
        {_OLD_NAMES.get(key, key): value for key, value in settings.said.items()}, settings.what
    )
    for group in (one, metadata):
        _check_stream(group)
    _check_centred(one, metadata)
    hook = _hook(settings, metadata)
    dtype = one.word("dtype").removeprefix("torch.")
    if dtype not in _DTYPES:
        raise one.wrong("dtype", " or ".join(sorted(_DTYPES)))
    architecture = _architecture(one, is_old=is_old)
    _check_arithmetic(one, architecture)
    return SaeConfig(
        d_model=one.whole("d_in"),
        width=one.whole("d_sae"),
        hook=hook,
        architecture=architecture,
        base=named_base(metadata.said, metadata.what),
    )


def _is_old(settings: Settings, metadata: Settings) -> bool:
    version = settings.said.get("sae_lens_version") or metadata.said.get("sae_lens_version")
    if not version:
        return True
    match = re.match(r"(\d{1,6})(?:\.|$)", version) if isinstance(version, str) else None
    if match is None:
        raise AuditError(
            f"{settings.what} says sae_lens_version is {shown(repr(version), 60)}, which is no "
            "version; save the SAE again with sae.save_model(...)."
        )
    return int(match[1]) < 6


def _hook(settings: Settings, metadata: Settings) -> str | None:
    """The hook, which has stood under three keys over time."""
    said = [settings.said.get("hook_point"), settings.said.get("hook_name")]
    hooks = [hook for hook in [*said, metadata.said.get("hook_name")] if hook is not None]
    if not all(isinstance(hook, str) for hook in hooks):
        raise AuditError(
            f"{settings.what} says hook_name is {shown(repr(hooks[0]), 60)}; it has to be a word."
        )
    if len(set(hooks)) > 1:
        raise AuditError(
            f"{settings.what} names two hooks, {shown(hooks[0], 80)} and {shown(hooks[-1], 80)}; "
            "leave the right one."
        )
    return hooks[0] if hooks else None


def _architecture(one: Settings, *, is_old: bool) -> str:
    function = one.one_of("activation_fn", {"relu", "topk"}, "activation functions")
    options = one.inner("activation_fn_kwargs")
    for key in options.said.keys() - {"k", "use_sparse_activations"}:
        options.refuse(key, "this option of an activation function is not read")
    if is_old and function == "topk":
        # Without k, sae_lens reads it as ReLU.
        options.whole("k")
        return "topk"
    if not is_old or one.said.get("architecture") is not None:
        return one.word("architecture")
    return "standard"


def _check_stream(group: Settings) -> None:
    for key in ("hook_head_index", "hook_head_index_out"):
        group.refuse(key, "SAEs of single attention heads are not read", unless=(None,))
    for key in ("hook_name_out", "out_hook_point", "is_transcoder"):
        group.refuse(
            key,
            "transcoders are not read",
            unless=(None, False, group.said.get("hook_name") or False),
        )
    group.refuse("d_out", "transcoders are not read", unless=(None, group.said.get("d_in")))
    group.refuse("reshape_activations", "an audit reads the residual stream", unless=(None, "none"))
    positions = group.said.get("seqpos_slice")
    parts = positions if isinstance(positions, list) else [positions]
    if any(part is not None for part in parts):
        raise group.wrong("seqpos_slice", "empty: an audit reads the SAE at every position")


def _check_centred(one: Settings, metadata: Settings) -> None:
    # transformer-lens centres the weights that write to the residual stream for models with LayerNorm;
    # for those with RMSNorm it leaves the weights unchanged, whatever the setting.
    model = metadata.said.get("model_name") or one.said.get("model_name")
    is_layer_norm = _LAYER_NORM.search(model) if isinstance(model, str) else None
    for group in (one, metadata):
        options = group.inner("model_from_pretrained_kwargs")
        if is_layer_norm:
            why = "the SAE expects a stream without its mean, which the checkpoint does not have"
            options.refuse("center_writing_weights", why)


def _check_arithmetic(one: Settings, architecture: str) -> None:
    subtracts = one.said.get("apply_b_dec_to_input")
    if subtracts is not None and not isinstance(subtracts, bool):
        raise one.wrong("apply_b_dec_to_input", "true or false")
    if not isinstance(one.said.get("normalize_activations"), bool):
        one.one_of("normalize_activations", _NORMALISED, "ways to scale an input")
    if architecture != "topk":
        one.refuse("rescale_acts_by_decoder_norm", "it is read for top-k SAEs alone")
        return
    rescales = one.said.get("rescale_acts_by_decoder_norm")
    if rescales is not None and not isinstance(rescales, bool):
        raise one.wrong("rescale_acts_by_decoder_norm", "true or false")
    k = one.inner("activation_fn_kwargs").said.get("k") or one.whole("k")
    if k > one.whole("d_sae"):
        raise AuditError(f"{one.what} says k is {k}, but d_sae is {one.whole('d_sae')}.")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False
