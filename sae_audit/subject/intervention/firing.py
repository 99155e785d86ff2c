"""Firing features of a prompt under interventions: activations, positions and direct attribution."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sae_audit.errors import AuditError
from sae_audit.subject.intervention.readings import peaks, widest
from sae_audit.subject.intervention.streams import InterventionRuns, Reader, by_layer
from sae_audit.subject.model.decoder_layers import DecoderLayers
from sae_audit.subject.model.hooks import Resid
from sae_audit.subject.readout.readout import Readout, margin
from sae_audit.vocabulary import (
    Activations,
    Active,
    BeyondRounding,
    DirectAttribution,
    FeatureId,
    FeatureSet,
    FinalNorm,
    Fired,
    Firing,
    Intervention,
    InterventionScore,
)


def active_on(streams: InterventionRuns) -> Active:
    def active(sets: Sequence[FeatureSet]) -> list[Mapping[FeatureId, float]]:
        if not any(sets):
            return [_largest(_clean(streams))] * len(sets)
        firing: list[dict[FeatureId, float]] = [{} for _ in sets]

        def note(members: Sequence[int], layer: int, resid: Resid) -> None:
            peak = peaks(streams.suite[layer].encode(resid), streams.selected)
            # A single row is shared by all interventions.
            owners = [[member] for member in members] if len(resid) > 1 else [list(members)]
            rows, indices = peak.nonzero(as_tuple=True)
            values = peak[rows, indices].tolist()
            for row, index, value in zip(rows.tolist(), indices.tolist(), values, strict=True):
                feature = FeatureId(layer, index)
                for member in owners[row]:
                    firing[member][feature] = value

        _read_all(streams, [Intervention(ablated=ablated) for ablated in sets], note)
        return list(firing)

    return active


def firing_on(streams: InterventionRuns) -> Firing:
    def firing(interventions: Sequence[Intervention]) -> list[Fired]:
        if not any(one.ablated for one in interventions):
            return [_clean(streams)] * len(interventions)
        return _fired_under(streams, interventions)

    return firing


def _clean(streams: InterventionRuns) -> Fired:
    """Features that fire on the clean run; without ablation freezing has no effect."""
    fired, key = streams.clean_run().fired, streams.selected.cpu().numpy().tobytes()
    if key not in fired:
        (fired[key],) = _fired_under(streams, [Intervention()])
    return fired[key]


def _largest(fired: Fired) -> dict[FeatureId, float]:
    """Each firing feature's largest activation over positions, by layer and index."""
    order = np.lexsort((fired.activation, fired.index, fired.layer))
    # The last of equal keys, the largest, stays.
    return {
        FeatureId(int(fired.layer[i]), int(fired.index[i])): float(fired.activation[i])
        for i in order
    }


def _fired_under(streams: InterventionRuns, interventions: Sequence[Intervention]) -> list[Fired]:
    found: list[list[Float[np.ndarray, "entry 4"]]] = [[] for _ in interventions]

    def note(members: Sequence[int], layer: int, resid: Resid) -> None:
        activations = streams.suite[layer].encode(resid)
        # Replaced, not multiplied: a NaN at an unselected position must not spread.
        chosen = streams.selected.to(activations.device)[:, None]
        activations = torch.where(chosen, activations, 0.0)
        row, position, index = activations.nonzero(as_tuple=True)
        values = activations[row, position, index].double()
        columns = [torch.full_like(index, layer), index, position + streams.start, values]
        table = torch.stack([column.double() for column in columns], dim=1).cpu().numpy()
        n_entries = torch.bincount(row, minlength=len(resid)).cumsum(dim=0)[:-1].tolist()
        by_row = np.split(table, n_entries)
        for i, member in enumerate(members):
            # A single row is shared by all interventions.
            found[member].append(by_row[i if len(by_row) > 1 else 0])

    _read_all(streams, interventions, note)
    return [_fired(np.concatenate(tables)) for tables in found]


def _fired(table: Float[np.ndarray, "entry 4"]) -> Fired:
    layer, index, position = table[:, :3].astype(int).T
    return Fired(layer=layer, index=index, position=position, activation=table[:, 3])


def _read_all(
    streams: InterventionRuns, interventions: Sequence[Intervention], note: Reader
) -> None:
    suite = streams.suite
    streams.read(interventions, sorted(suite), note, encoding=widest(suite))


def activations_on(streams: InterventionRuns) -> Activations:
    def activations(
        interventions: Sequence[Intervention], features: Sequence[FeatureId]
    ) -> Float[np.ndarray, "intervention feature position"]:
        wanted = by_layer(features)
        found = np.zeros((len(interventions), len(features), streams.length))

        def note(members: Sequence[int], layer: int, resid: Resid) -> None:
            columns, indices = wanted[layer]
            values = streams.suite[layer].read(resid, indices).values
            chosen = streams.selected.to(values.device)[:, None]
            values = torch.where(chosen, values, 0.0).transpose(1, 2).double().cpu().numpy()
            found[np.ix_(members, columns, range(streams.start, streams.length))] = values

        streams.read(interventions, list(wanted), note)
        return found

    return activations


def direct_attribution_on(
    streams: InterventionRuns, direction: Float[np.ndarray, " d_model"]
) -> DirectAttribution:
    activations = activations_on(streams)

    def direct_attribution(
        ablated: FeatureSet, features: Sequence[FeatureId]
    ) -> Float[np.ndarray, " feature"]:
        sums = activations([Intervention(ablated=ablated)], features)[0].sum(axis=1)
        written = np.zeros(len(features))
        for layer, (columns, indices) in by_layer(features).items():
            rows = streams.suite[layer].decoder_rows(indices).float()
            unit = torch.tensor(direction / np.linalg.norm(direction), dtype=torch.float32)
            written[columns] = (rows @ unit.to(rows.device)).cpu().numpy()
        return sums * written

    return direct_attribution


_EXACT = 1e-5
"""Largest relative rounding of a dtype that needs no floor: float32's is 1e-7."""


def beyond_rounding_on(streams: InterventionRuns, dtype: torch.dtype) -> BeyondRounding:
    """A function that tells features that fire from those that rounding of the stream can make fire.

    Rounding moves each element of the stream by up to eps / 2 of itself, and so a feature's
    pre-activation by about `eps / sqrt(12) * sqrt(sum_j w_j^2 x_j^2)`. The floor is sqrt(12) times as
    large: a feature is beyond it if at some position it fires by more than that above its threshold
    (JumpReLU's own; else 0). A model in float32 has no floor.
    """
    eps = torch.finfo(dtype).eps

    def beyond(ablated: FeatureSet, features: Sequence[FeatureId]) -> list[bool]:
        if eps < _EXACT or not features:
            return [True] * len(features)
        wanted = by_layer(features)
        found = [False] * len(features)

        def note(_: Sequence[int], layer: int, resid: Resid) -> None:
            columns, indices = wanted[layer]
            sae = streams.suite[layer]
            above = sae.read(resid, indices).values - sae.thresholds(indices)
            chosen = streams.selected.to(above.device)[:, None]
            real = ((above > eps * sae.read_scale(resid, indices)) & chosen).any(dim=1)[0]
            for column, one in zip(columns, real.tolist(), strict=True):
                found[column] = one

        streams.read([Intervention(ablated=ablated)], list(wanted), note)
        return found

    return beyond


def intervention_score_on(
    streams: InterventionRuns,
    stack: DecoderLayers,
    clean_end: Float[Tensor, " d_model"],
    readout: Readout,
) -> InterventionScore:
    def score(
        interventions: Sequence[Intervention], norm: FinalNorm = FinalNorm.LIVE
    ) -> Float[np.ndarray, " intervention"]:
        obstacle = stack.frozen_norm_obstacle
        if norm == FinalNorm.FROZEN and obstacle:
            raise AuditError(f"A frozen norm cannot be had: {obstacle}.")
        ends = streams.ends(interventions)
        scaled_as = clean_end if norm == FinalNorm.FROZEN else None
        with torch.no_grad():
            logits = stack.head(ends, scaled_as=scaled_as)
        return margin(readout, logits).cpu().numpy()

    return score
