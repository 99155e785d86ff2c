"""The user's own null dictionaries: SAEs of other layers or of another model.

They pass every check that the audited SAEs pass, except that they are made for this model and layer.
"""

import copy
from collections.abc import Mapping, Sequence

from sae_audit.catalog import Suite
from sae_audit.config import OTHER_LAYERS, NullSaesSettings
from sae_audit.errors import AuditError
from sae_audit.subject.saes.files import SaeConfig, fetch_sae, sae_config
from sae_audit.subject.saes.places import SaePlace, sae_places
from sae_audit.subject.saes.sae import Sae
from sae_audit.subject.saes.suite import check_place, load_suite
from sae_audit.untrusted import shown


def null_places(
    asked: NullSaesSettings, audited: Sequence[int], *, catalog: Sequence[Suite]
) -> dict[int, SaePlace]:
    """By audited layer, the location of the SAE in its place; empty for the audited SAEs themselves.

    Raises:
        AuditError: there are no such SAEs, or not one for each audited layer.
    """
    if asked.saes == OTHER_LAYERS:
        if len(audited) < 2:
            raise AuditError(
                f"evidence.null_saes {OTHER_LAYERS} needs SAEs of at least two audited layers, and "
                "there is one; audit more layers (layers), or name SAEs of another layer."
            )
        return {}
    if asked.layers is not None and len(asked.layers) != len(audited):
        raise AuditError(
            f"evidence.null_saes {shown(asked.saes)} names {len(asked.layers)} layers for the "
            f"{len(audited)} that are audited; name as many."
        )
    found = sae_places(asked.saes, catalog=catalog, layers=asked.layers)
    places = {place.layer: place for place in found}
    if asked.layers is not None:
        chosen = list(asked.layers)
    elif set(audited) <= set(places):
        chosen = sorted(audited)
    else:
        chosen = sorted(places)[: len(audited)]
    if len(chosen) < len(audited):
        raise AuditError(
            f"evidence.null_saes {shown(asked.saes)} has SAEs of {len(chosen)} layers, and "
            f"{len(audited)} are audited; name others, or audit fewer layers (layers)."
        )
    return {layer: places[own] for layer, own in zip(sorted(audited), chosen, strict=True)}


def null_configs(places: Mapping[int, SaePlace], *, d_model: int) -> dict[int, SaeConfig]:
    """By audited layer, the config of the SAE in its place, read before any weights.

    Raises:
        AuditError: one does not fit the residual stream, or its config cannot be read.
    """
    configs = {layer: sae_config(place) for layer, place in places.items()}
    for layer, place in places.items():
        width = configs[layer].d_model
        if width != d_model:
            raise AuditError(
                f"The SAE {place} reads {width} dimensions, but the model's residual stream has "
                f"{d_model}; for evidence.null_saes name SAEs of that width, of any model."
            )
        check_place(place, configs[layer], n_layers=place.layer + 1, d_model=d_model)
    return configs


def load_null_saes(
    asked: NullSaesSettings,
    suite: Mapping[int, Sae],
    *,
    d_model: int,
    catalog: Sequence[Suite],
    dtype: str = "auto",
) -> dict[int, Sae]:
    """By audited layer of `suite`, the SAE in its place; whole matrices stay in host memory.

    Raises:
        AuditError: they are missing or unreadable, or do not fit the model.
    """
    places = null_places(asked, sorted(suite), catalog=catalog)
    if not places:
        return _shifted(suite)
    configs = null_configs(places, d_model=d_model)
    for place in places.values():
        fetch_sae(place)
    found: dict[int, Sae] = {}
    for layer, place in places.items():
        (sae,) = load_suite(
            [place],
            {place.layer: configs[layer]},
            n_layers=place.layer + 1,
            d_model=d_model,
            devices={place.layer: str(suite[layer].device)},
            dtype=dtype,
            memory="host",
        ).values()
        found[layer] = _at(sae, layer)
    return found


def _shifted(suite: Mapping[int, Sae]) -> dict[int, Sae]:
    """Each SAE at the layer half of all further up, from the top on at the bottom."""
    layers = sorted(suite)
    devices = {str(sae.device) for sae in suite.values()}
    if len(devices) > 1:
        raise AuditError(
            f"evidence.null_saes {OTHER_LAYERS} needs all SAEs on one device, and they are on "
            f"{' and '.join(sorted(devices))}; name the SAEs' own folder or suite with layers instead."
        )
    by = len(layers) // 2
    return {layer: _at(suite[layers[i - by]], layer) for i, layer in enumerate(layers)}


def _at(sae: Sae, layer: int) -> Sae:
    """The same SAE in another layer's place."""
    moved = copy.copy(sae)
    moved.layer = layer
    return moved
