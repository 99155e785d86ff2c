"""One SAE loaded by sae_lens' own converters, at a pinned commit."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch

from sae_audit.errors import AuditError, AuditIncompleteError
from sae_audit.hashing import sha256_of_files
from sae_audit.hub import fetch
from sae_audit.subject.saes import suites as sae_suites
from sae_audit.subject.saes.conversion import layout_config, layout_converter, pinned_downloads
from sae_audit.subject.saes.effects import check_effects
from sae_audit.subject.saes.place import SaePlace
from sae_audit.subject.saes.published import check_published, norm_factor
from sae_audit.subject.saes.settings import (
    SaeConfig,
    Settings,
    described,
    settings_of,
)
from sae_audit.subject.saes.weights import check_pickles, weight_shapes
from sae_audit.untrusted import shown

__all__ = ["SaeConfig", "fetch_sae", "read_sae", "sae_config"]

T = TypeVar("T")

_FLOAT32 = "float32"


def sae_config(place: SaePlace) -> SaeConfig:
    """The config of an SAE, read without its weights if possible.

    If the format has no config, the sizes come from the name of a registered SAE, or from the downloaded
    weights of an SAE recognised by its layout.

    Raises:
        AuditError: The config is missing, unreadable, or has an unsupported setting; the hub's refusals.
    """
    if place.format == "sae_lens":
        if place.held is None and not any(Path(place.path).glob("*.safetensors")):
            raise AuditError(
                f"The SAE {place} lacks its weights: beside its cfg.json stands neither "
                "sae_weights.safetensors (sae_lens) nor sae.safetensors (sparsify); download it again."
            )
        return described(_own_settings(place))
    if place.held is not None:
        _check_listed(place, [path for path in place.files if path.endswith(".json")])
    if place.by_layout:
        with _sae_lens("config", place):
            found = layout_config(place)
    else:
        found = _registered_config(place)
    said = Settings(found, f"The config of the SAE {place}")
    metadata = said.inner("metadata").said
    hook = metadata.get("hook_name") or found.get("hook_name")
    if hook is not None and not isinstance(hook, str):
        raise said.wrong("hook_name", "a word")
    return SaeConfig(
        d_model=said.whole("d_in"),
        width=said.whole("d_sae"),
        hook=hook,
        architecture=_kind(said),
    )


def fetch_sae(place: SaePlace) -> list[Path]:
    """The SAE's weight files, downloaded if needed.

    Raises:
        AuditError: A file is missing, damaged, or unreadable; the hub's refusals.
    """
    check_pickles(place.files, str(place))
    if place.held is None:
        files = [Path(path) for path in place.files]
        if place.format == "sae_lens":
            files = sorted(Path(place.path).glob("*.safetensors")) or files
    else:
        root = fetch(place.held, place.files)
        files = [root / path for path in place.files]
    weights = [file for file in files if file.suffix != ".json"]
    for file in weights:
        weight_shapes(file)
    return weights


def read_sae(place: SaePlace, *, device: str, dtype: str = "auto") -> tuple[Any, str]:
    """The frozen SAE, and the hash of its weight files.

    `dtype` `auto` means the file's dtype for sae_lens' own format, and float32 for publishers' formats.

    Raises:
        AuditError: Files are missing, sae_lens cannot load them, or the result contradicts the config;
            the hub's refusals.
    """
    config, weights = sae_config(place), fetch_sae(place)
    sae = _loaded(place, device, dtype)
    if sae.cfg.metadata.hook_name is None:
        # sae_lens omits it if the file does not say which version wrote it.
        sae.cfg.metadata.hook_name = config.hook
    if sae.cfg.normalize_activations == "expected_average_only_in":
        factor = _norm_factor(place)
        if factor is None:
            raise AuditError(
                f"The SAE {place} expects inputs scaled by a factor that its files do not hold; "
                "fold it in (sae.fold_activation_norm_scaling_factor) and save the SAE again."
            )
        sae.fold_activation_norm_scaling_factor(factor)
    with _sae_lens("SAE", place):
        check_effects(sae, config, place.layer, f"The SAE {place}")
    sae.requires_grad_(requires_grad=False)
    return sae.eval(), sha256_of_files(weights)


def _loaded(place: SaePlace, device: str, dtype: str) -> Any:
    # Imported here because it takes seconds.
    from sae_lens import SAE

    asked = _FLOAT32 if dtype == "auto" else dtype
    with _sae_lens("SAE", place):
        if place.format == "sae_lens":
            own = None if dtype == "auto" else dtype
            folder = place.file("cfg.json").parent
            return SAE.load_from_disk(folder, device=device, dtype=own, converter=_own(place))
        if place.by_layout:
            converter = layout_converter(place)
            return SAE.load_from_disk(place.path, device=device, dtype=asked, converter=converter)
        assert place.held is not None, f"{place.format} in a local folder"
        with pinned_downloads(place.held):
            return SAE.from_pretrained(place.release, place.id, device=device, dtype=asked)


def _own(place: SaePlace) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
    """A converter of sae_lens' own format that reads only the config that was checked."""
    from sae_lens.loading.pretrained_sae_loaders import read_sae_components_from_disk

    settings = _own_settings(place)

    def converted(
        path: str | Path, device: str, cfg_overrides: dict[str, Any] | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        config = {"finetuning_scaling_factor": False, **settings.said, "device": device}
        config.update(cfg_overrides or {})
        weights = Path(path) / "sae_weights.safetensors"
        config, state = read_sae_components_from_disk(config, weights, device)
        if "finetuning_scaling_factor" in state:
            raise AuditError(
                f"The SAE {place} scales its features by a fine-tuned factor (scaling_factor), "
                "which is not read; fold it into the decoder and save the SAE again."
            )
        return config, state

    return converted


def _own_settings(place: SaePlace) -> Settings:
    """The config in sae_lens' own format, completed from the registry's entry of the release."""
    settings = settings_of(place)
    assert settings is not None, f"{place} has a format without a config"
    entry = None if place.by_layout or place.held is None else _entry(place)
    if entry is None or not entry.config_overrides:
        return settings
    return Settings({**settings.said, **entry.config_overrides}, settings.what)


def _entry(place: SaePlace) -> Any:
    """The registry's entry of the SAE's release; None for a catalog suite outside the registry."""
    entry = sae_suites.registry().get(place.release)
    return entry if entry is not None and place.id in entry.saes_map else None


def _norm_factor(place: SaePlace) -> float | None:
    if place.by_layout and place.format in {"llama_scope", "llama_scope_r1_distill"}:
        settings = settings_of(place)
        assert settings is not None, f"{place} without a config"
        return norm_factor(settings)
    entry = None if place.by_layout or place.held is None else _entry(place)
    return None if entry is None else entry.norm_scaling_factor.get(place.id)


def _registered_config(place: SaePlace) -> dict[str, Any]:
    from sae_lens.loading.pretrained_sae_loaders import load_sae_config_from_huggingface

    assert place.held is not None, f"{place.format} in a local folder"
    settings = settings_of(place)
    if settings is not None:
        check_published(place.format, settings)
    with _sae_lens("config", place), pinned_downloads(place.held, weights=False):
        return load_sae_config_from_huggingface(place.release, place.id)


def _kind(said: Settings) -> str:
    """The architecture, as sae_lens reads it from a converter's config."""
    options = said.said.get("activation_fn_kwargs") or {}
    is_topk = said.said.get("activation_fn") == "topk" and "k" in options
    return "topk" if is_topk else said.word("architecture")


@contextlib.contextmanager
def _sae_lens(what: str, place: SaePlace) -> Iterator[None]:
    """Context that turns any failure of sae_lens on a foreign file into one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (AuditError, AuditIncompleteError):
        raise
    except torch.OutOfMemoryError as error:
        raise AuditError(
            f"The device has no room for the SAE {place}; keep SAEs on the host (--set "
            "sae_memory=host), or halve them (--set sae_dtype=bfloat16)."
        ) from error
    except (
        Exception
    ) as error:  # AttributeError, KeyError, RuntimeError: sae_lens documents none of them
        of = "the SAE" if what == "SAE" else "the config of the SAE"
        lines = (str(error).strip() or type(error).__name__).splitlines()
        # PyTorch's first line only says that something does not fit.
        reason = " ".join(line.strip() for line in lines[: 3 if lines[0].endswith(":") else 1])
        raise AuditError(f"sae_lens cannot read {of} {place}: {shown(reason, 300)}") from error


def _check_listed(place: SaePlace, files: list[str]) -> None:
    held = place.held
    assert held is not None, f"{place.path} is a local folder"
    missing = [path for path in files if path not in held.sizes]
    if missing:
        where = (
            "the cache" if held.from_cache else f"{held.repository} at commit {held.commit[:12]}"
        )
        raise AuditError(f"The SAE {place} needs {missing[0]}, which {where} does not have.")
