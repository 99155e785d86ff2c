"""What a report says of the weights that the adapter and the SAEs were made for."""

from sae_audit.record.facts import MadeForFacts
from sae_audit.record.run import Run
from sae_audit.untrusted import shown

_DIGITS = 12
"""Digits of a hash that a sentence gives."""


def bases(run: Run) -> list[str]:
    """A sentence for each base that their files name."""
    return [_sentence(one) for one in run.manifest.model.made_for]


def other_bases(run: Run) -> list[str]:
    """The same for those that are not this model's weights, with what follows from it."""
    return [
        f"{_sentence(one)} "
        + (
            "A feature may mean something else here than where it was learned."
            if one.layers
            else "It may do something else here than what it was trained to do."
        )
        for one in run.manifest.model.made_for
        if not one.is_own
    ]


def other_bases_in_short(run: Run) -> list[str]:
    """That some were made for other weights, in at most one sentence."""
    who = [_who(one) for one in run.manifest.model.made_for if not one.is_own]
    if not who:
        return []
    named = " and ".join(who)
    return [f"Made for other weights than this model's, and accepted all the same: {named}."]


def saes_are_of_this_model(run: Run) -> bool:
    """Whether every audited SAE names the model's own weights."""
    own = {layer for one in run.manifest.model.made_for if one.is_own for layer in one.layers}
    return {sae.layer for sae in run.manifest.saes} <= own


def _sentence(one: MadeForFacts) -> str:
    who = _who(one)
    was, says = ("was", "its file says") if len(one.layers) < 2 else ("were", "their files say")
    named = f" ({shown(one.name)})" if one.name else ""
    begins = f"{who[0].upper()}{who[1:]} {was} made for"
    if one.is_own:
        return f"{begins} this model's own weights{named}, as {says}."
    return (
        f"{begins} the weights {one.sha256[:_DIGITS]}...{named}, as {says}, and not for this model's; "
        "accept_other_base had them loaded."
    )


def _who(one: MadeForFacts) -> str:
    if not one.layers:
        return "the adapter"
    if len(one.layers) == 1:
        return f"the SAE of layer {one.layers[0]}"
    return f"the SAEs of layers {', '.join(map(str, one.layers))}"
