"""The cost of choosing one direction, paid by the first stage and again for each further direction."""

from dataclasses import replace

from sae_audit.direction.methods import Size
from sae_audit.direction.registry import selector
from sae_audit.pipeline.pricing import AuditSize, Work


def price_of_choice(size: AuditSize) -> Work:
    """The questions that the method of selection expects, after the means and clean scores; at most,
    those of a choice in which every candidate must be asked about in full."""
    settings = size.config.direction
    price = selector(settings).price(
        Size(
            n_layers=size.n_layers,
            n_positions=size.facts.template_tokens,
            n_validation=size.validation,
            layer_cut=settings.layer_cut,
        )
    )
    expected = Work(
        forward_passes=price.forward_passes,
        layer_tokens=size.tokens * price.layer_passes,
        edited_layer_tokens=size.tokens * price.edited_layer_passes,
        heads=price.heads,
    )
    # Once more, prompt by prompt: how much of the score the chosen direction removes.
    n = size.validation
    again = Work(forward_passes=n, layer_tokens=0.0, edited_layer_tokens=size.whole(n), heads=n)
    open_ended = 0 < price.forward_passes < price.most_forward_passes
    factor = price.most_forward_passes / price.forward_passes if open_ended else 1.0
    return replace(
        expected + again,
        assumed="; ".join(filter(None, (f"chosen by {settings.selection}", price.assumed))),
        most=expected.times(factor) + again if open_ended else None,
    )


def removed(size: AuditSize, clean: float, prompts: float) -> Work:
    """So many clean passes, and so many prompts of each label with directions projected out: scores of
    both labels, and the KL of the harmless ones."""
    passes = clean + 3 * prompts
    return Work(
        forward_passes=passes,
        layer_tokens=size.whole(passes),
        edited_layer_tokens=size.whole(2 * prompts),
        heads=passes,
    )
