"""Quality of the SAEs on this model, and their sources."""

from collections.abc import Sequence

from sae_audit.findings import Estimate, SaeQuality
from sae_audit.pages.wording import interval
from sae_audit.record.facts import SaeFacts
from sae_audit.record.run import Run

NOT_DEFINED = "not defined"


def recovered(found: Estimate | None) -> str:
    """Cross-entropy recovered, in words."""
    return NOT_DEFINED if found is None else interval(found)


def tokens_firing(found: Estimate) -> str:
    """L0, in words."""
    return interval(found, "{:.1f}".format)


def quality_lines(run: Run) -> list[str]:
    """One line per audited layer: explained variance, L0, cross-entropy recovered."""
    return [
        f"Layer {one.layer}: explained variance {interval(one.explained_variance)} "
        f"({interval(one.explained_variance_without_bos)} without BOS), L0 {tokens_firing(one.l0)}, "
        f"CE recovered {recovered(one.ce_recovered)}"
        for one in run.quality
    ]


def worst_explained(quality: Sequence[SaeQuality]) -> SaeQuality:
    """The layer of lowest explained variance, without BOS."""
    return min(quality, key=lambda one: one.explained_variance_without_bos.value)


def least_recovered(quality: Sequence[SaeQuality]) -> tuple[int, Estimate] | None:
    """The layer whose SAE recovers the least cross-entropy, and the value; None if no layer has one."""
    stated = {one.layer: one.ce_recovered for one in quality if one.ce_recovered is not None}
    if not stated:
        return None
    return min(stated.items(), key=lambda one: one[1].value)


def sae_sources(saes: Sequence[SaeFacts]) -> list[str]:
    """Every folder or release once, with repository and commit if known."""
    return list(dict.fromkeys(_source(sae) for sae in saes))


def _source(sae: SaeFacts) -> str:
    if not sae.repository:
        return sae.release
    held = f"{sae.repository} at commit {sae.revision}"
    return held if sae.release == sae.repository else f"{sae.release} ({held})"
