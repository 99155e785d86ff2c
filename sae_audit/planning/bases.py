"""Whether adapter and SAEs were made for the model, by the hashes in their files, without a download."""

from collections.abc import Mapping, Sequence

from sae_audit.subject.checkpoint.checkpoint import Checkpoint
from sae_audit.subject.saes.files import SaeConfig
from sae_audit.subject.saes.places import SaePlace


def adapters_base(model: Checkpoint) -> str:
    """What is to be known of the base that a checkpoint's adapter names; empty if it is the model.

    Raises:
        AuditError: It is other weights, and the options accept no others.
    """
    if model.adapter is None or model.adapter.base is None:
        return ""
    is_own = model.is_base_if_here(model.adapter.base, f"The adapter {model.adapter}")
    return _said(is_own, "the adapter was")


def saes_bases(
    model: Checkpoint, places: Sequence[SaePlace], configs: Mapping[int, SaeConfig]
) -> list[str]:
    """The same for the SAEs, each remark once.

    Raises:
        AuditError: One was made for other weights, and the options accept no others.
    """
    found: dict[str, None] = {}
    for place in places:
        base = configs[place.layer].base
        if base is not None:
            is_own = model.is_base_if_here(base, f"The SAE {place}")
            found[_said(is_own, "SAEs were")] = None
    return [said for said in found if said]


def _said(is_own: bool | None, who: str) -> str:
    if is_own is None:
        return f"which weights {who} made for is compared once the model's weights are here"
    return "" if is_own else f"{who} made for other weights than the model's (accept_other_base)"
