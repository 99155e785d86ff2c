"""Conversion of publishers' formats to sae_lens' own, by its converters, at a pinned commit.

sae_lens converts an SAE of its registry directly. An SAE recognised by its layout alone is passed to
the same converters under a name they know, with the sizes read from its files. Only sparsify's format
is converted here: sae_lens' converter transposes its decoder, which the format stores by rows, and
omits the decoder bias that sparsify subtracts.
"""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sae_audit.errors import AuditError
from sae_audit.hub import Listing, fetch, missing_bytes, remote_tensor_shapes, tensor_shapes
from sae_audit.subject.saes.place import SaePlace
from sae_audit.subject.saes.published import check_published, layer_of_hook
from sae_audit.subject.saes.settings import Settings, settings_of
from sae_audit.subject.saes.weights import weight_shapes
from sae_audit.untrusted import shown

_L0 = re.compile(r"L0_(\d{1,6})")
_one_at_a_time = threading.Lock()

_UNNAMED = {"model_name": None, "dataset_path": None}
_SIZES = {
    "gemma_2": ("W_enc", (0, 1)),
    "goodfire": ("encoder_linear.weight", (1, 0)),
    "deepseek_r1": ("encoder.weight", (1, 0)),
    "qwen_scope": ("W_enc", (1, 0)),
}
"""For formats without a config: name of the encoder weights, and their axes of d_in and d_sae."""


@contextlib.contextmanager
def pinned_downloads(held: Listing, *, weights: bool = True) -> Iterator[None]:
    """Context in which sae_lens' converters find every file at this commit, also offline.

    sae_lens takes no revision, and asks the hub for tensor shapes even if the file is on this machine.
    If `weights` is false, shapes in a file that is not on this machine come from the hub.
    """
    from huggingface_hub.errors import EntryNotFoundError

    def downloaded(repo_id: str, filename: str, *, subfolder: str | None = None, **_: Any) -> str:
        assert repo_id == held.repository.name, f"{repo_id} asked for in {held.repository}"
        path = f"{subfolder}/{filename}" if subfolder else filename
        if path not in held.sizes:
            raise EntryNotFoundError(f"{held.repository} has no {path}")
        return str(fetch(held, [path]) / path)

    def shapes(repo_id: str, filename: str) -> dict[str, list[int]]:
        if not weights and missing_bytes(held, [filename]):
            return remote_tensor_shapes(held, filename)
        return tensor_shapes(Path(downloaded(repo_id, filename)))

    with _replaced(downloaded, shapes):
        yield


def layout_config(place: SaePlace) -> dict[str, Any]:
    """The config that sae_lens' converter makes of an SAE recognised by its layout.

    Raises:
        AuditError: Its files lack a needed value, or cannot be read.
    """
    from sae_lens.loading.pretrained_sae_loaders import NAMED_PRETRAINED_SAE_CONFIG_GETTERS

    settings = settings_of(place)
    if settings is not None:
        check_published(place.format, settings)
        read = layer_of_hook(settings.said.get("hf_hook_point_in"))
        if read not in {None, place.layer}:
            raise AuditError(
                f"The SAE {place} reads layer {read}, as its config says, but is named for layer "
                f"{place.layer}; give its folder the name of its layer."
            )
    if place.format == "sparsify":
        assert settings is not None, f"{place} without a config"
        return _sparsify_config(place, settings)
    repo, folder, overrides = _known_as(place)
    getter = NAMED_PRETRAINED_SAE_CONFIG_GETTERS[place.format]
    with _found_as(place, folder, weights=False):
        return getter(repo, folder, "cpu", False, overrides)


def layout_converter(place: SaePlace) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
    """A converter for sae_lens' `load_from_disk`, for an SAE recognised by its layout."""
    from sae_lens.loading.pretrained_sae_loaders import NAMED_PRETRAINED_SAE_LOADERS

    def converted(
        path: object, device: str, cfg_overrides: Mapping[str, Any] | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        del path  # the files are requested one by one
        asked = dict(cfg_overrides or {})
        if place.format == "sparsify":
            return _sparsify(place, device, asked)
        repo, folder, overrides = _known_as(place)
        loader = NAMED_PRETRAINED_SAE_LOADERS[place.format]
        with _found_as(place, folder, weights=True):
            config, state, _ = loader(repo, folder, device, False, {**overrides, **asked})
        return config, state

    return converted


def _known_as(place: SaePlace) -> tuple[str, str, dict[str, Any]]:
    """A repository and folder whose format a converter knows, and the config values read from files."""
    layer, format = place.layer, place.format
    overrides = {**_UNNAMED, "hook_name": f"blocks.{layer}.hook_resid_post", **_sizes(place)}
    match format:
        case "gemma_2":
            return "gemma-scope-2b-pt-res", f"layer_{layer}/width_w/average_l0_0", overrides
        case "gemma_3":
            return "gemma-scope-2", f"resid_post/layer_{layer}_width_w_l0_w", _UNNAMED
        case "goodfire":
            name = "Llama-3.1-8B-Instruct-SAE-l19"
            return f"Goodfire/{name}", f"{name}.pth", overrides
        case "deepseek_r1":
            return "deepseek", f"SAE-l{layer}.pt", overrides
        case "qwen_scope":
            overrides["activation_fn_kwargs"] = {"k": _k_in_name(place)}
            return "Qwen/SAE-Res-Qwen3-8B-Base-W64K-L0_50", f"layer{layer}.sae.pt", overrides
        case _:
            return "published", "sae", _UNNAMED


def _sizes(place: SaePlace) -> dict[str, int]:
    if place.format not in _SIZES:
        return {}
    name, (d_in, d_sae) = _SIZES[place.format]
    shapes = weight_shapes(place.file("params.npz" if place.format == "gemma_2" else ""))
    # Gemma Scope has stored its matrices as both w_enc and W_enc.
    shape = shapes.get(name, shapes.get(name.replace("W_", "w_")))
    if shape is None or len(shape) != 2:
        raise AuditError(
            f"The SAE {place} lacks the matrix {name!r}; its file holds "
            f"{', '.join(sorted(shapes)[:6])}."
        )
    return {"d_in": shape[d_in], "d_sae": shape[d_sae]}


def _k_in_name(place: SaePlace) -> int:
    path = Path(place.path).absolute()
    where = place.held.repository.name if place.held is not None else f"{path.resolve()}/{path}"
    found = _L0.findall(f"{where}/{place.id}")
    if not found:
        raise AuditError(
            f"How many features of the SAE {place} fire stands in its repository's name alone "
            "(...-L0_50); keep that name for its folder."
        )
    return int(found[-1])


@contextlib.contextmanager
def _found_as(place: SaePlace, known: str, *, weights: bool) -> Iterator[None]:
    """Context in which the converters find this place's files under the name they know."""
    from huggingface_hub.errors import EntryNotFoundError

    def downloaded(repo_id: str, filename: str, *, subfolder: str | None = None, **_: Any) -> str:
        del repo_id
        asked = f"{subfolder}/{filename}" if subfolder else filename
        name = asked.removeprefix(known).removeprefix("/")
        if not place.has(f"{place.path}/{name}" if name and place.path else name or place.path):
            raise EntryNotFoundError(f"{place} has no {name}")
        return str(place.file(name))

    def shapes(repo_id: str, filename: str) -> dict[str, list[int]]:
        name = filename.removeprefix(known).removeprefix("/")
        path = f"{place.path}/{name}" if place.path else name
        if not weights and place.held is not None and missing_bytes(place.held, [path]):
            return remote_tensor_shapes(place.held, path)
        return tensor_shapes(Path(downloaded(repo_id, filename)))

    with _replaced(downloaded, shapes):
        yield


@contextlib.contextmanager
def _replaced(downloaded: Callable[..., str], shapes: Callable[..., Any]) -> Iterator[None]:
    """Context in which these functions replace the names in sae_lens' converter module."""
    from sae_lens.loading import pretrained_sae_loaders

    ours = {"hf_hub_download": downloaded, "get_safetensors_tensor_shapes": shapes}
    with _one_at_a_time:
        theirs = {name: getattr(pretrained_sae_loaders, name) for name in ours}
        try:
            for name, function in ours.items():
                setattr(pretrained_sae_loaders, name, function)
            yield
        finally:
            for name, function in theirs.items():
                setattr(pretrained_sae_loaders, name, function)


def _sparsify_config(place: SaePlace, settings: Settings) -> dict[str, Any]:
    d_in, latents = settings.whole("d_in"), settings.said.get("num_latents")
    return {
        "architecture": "topk",
        "d_in": d_in,
        "d_sae": latents or d_in * settings.whole("expansion_factor"),
        "k": settings.whole("k"),
        "activation_fn": "topk",
        "activation_fn_kwargs": {"k": settings.whole("k")},
        "dtype": "float32",
        "hook_name": f"blocks.{place.layer}.hook_resid_post",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
    }


def _sparsify(
    place: SaePlace, device: str, asked: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """relu(top-k((x - b_dec) W' + b_enc)) with its decoder rows, as in sparsify."""
    from safetensors.torch import load_file

    settings = settings_of(place)
    assert settings is not None, f"{place} without a config"
    config = {**_sparsify_config(place, settings), "device": device, **asked}
    stored = load_file(place.file("sae.safetensors"), device=device)
    unread = sorted(stored.keys() - {"encoder.weight", "encoder.bias", "W_dec", "b_dec"})
    if unread:
        raise AuditError(
            f"The SAE {place} holds {shown(unread[0], 60)!r}, which no plain top-k SAE of sparsify has "
            "(transcoders have W_skip); transcoders are not read."
        )
    state = {
        "W_enc": stored["encoder.weight"].T.contiguous(),
        "b_enc": stored["encoder.bias"],
        "W_dec": stored["W_dec"],
        "b_dec": stored["b_dec"],
    }
    return config, state
