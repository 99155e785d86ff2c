"""Stages whose work depends on what is found: counted under assumptions, which each says."""

import math

from sae_audit.direction.methods import Size
from sae_audit.direction.registry import selector
from sae_audit.planning.work_fixed import attribution
from sae_audit.planning.work_units import DISTINCT, Scale, Work

_SET_SIZE = 3
_WAVES = 2
_DISTINCT_FAMILIES = 0.87
"""As `DISTINCT`, where other minimal sets are looked for: sets of nearly all candidates. On the
organism."""
_WAKES_TESTED = 0.5
"""Share of `cascade.max_tested` that a wave tests: only features that push to refuse are."""
_WOKEN = 2
"""Features of a second wave, where there is one."""
_DEEPER = 0.6
"""Share of flipped prompts with a second wave: on the bundled organism 24 of 40."""


def direction(scale: Scale) -> Work:
    """The means of training prompts, and what the method of selection expects to ask."""
    settings = scale.config.direction
    price = selector(settings).price(
        Size(
            n_layers=scale.n_layers,
            n_positions=scale.facts.template_tokens,
            n_validation=scale.validation,
            layer_cut=settings.layer_cut,
        )
    )
    others = 2 * scale.train + 4 * scale.validation
    open_ended = price.most_forward_passes > price.forward_passes
    most = f"at most {round(price.most_forward_passes + others):,} passes" if open_ended else ""
    return Work(
        forward_passes=price.forward_passes + others,
        layer_tokens=scale.whole(others) + scale.tokens * price.layer_passes,
        edited_layer_tokens=scale.tokens * price.edited_layer_passes,
        heads=price.heads + others,
        assumed="; ".join(filter(None, (f"chosen by {settings.selection}", price.assumed, most))),
    )


def successive_directions(scale: Scale) -> Work:
    """One direction, without which nothing is refused; each further one costs stage 1 again."""
    whole = 2 * scale.train + 3 * scale.validation + 3 * scale.audit
    return Work(
        forward_passes=whole,
        layer_tokens=scale.whole(whole),
        edited_layer_tokens=scale.whole(2 * (scale.validation + scale.audit)),
        heads=whole,
        assumed="one direction carries refusal",
    )


def widening(scale: Scale) -> Work:
    # A clean pass and one with all candidates ablated; more only where that flips nothing.
    return Work(
        forward_passes=2 * scale.audit,
        alone_layer_tokens=scale.whole(scale.audit),
        swept_layer_tokens=scale.swept(scale.audit),
        heads=scale.audit,
        swept_heads=scale.audit,
        assumed="all candidates together flip every prompt",
    )


def minimal_sets(scale: Scale) -> Work:
    n, m = max(scale.n_candidates, 2), _SET_SIZE
    one_search = m * (math.log2(max(n / m, 1)) + 1)
    if scale.config.minimal.search in ("greedy", "elimination"):
        one_search = float(n)
    both = scale.config.minimal.order == "both"
    questions = DISTINCT * scale.audit * ((2 if both else 1) * one_search + m + 2)
    own = _own_order(scale)
    return Work(
        forward_passes=questions + own.forward_passes,
        alone_layer_tokens=own.alone_layer_tokens,
        swept_layer_tokens=scale.swept(questions),
        heads=2 * scale.audit,
        swept_heads=questions,
        alone_encoded=own.alone_encoded,
        assumed=f"sets of {m} features; two thirds of the sets asked about change something",
    )


def minimal_set_families(scale: Scale) -> Work | None:
    budget = scale.config.minimal.more_sets_budget
    if not budget:
        return None
    questions = _DISTINCT_FAMILIES * scale.audit * budget
    own = _own_order(scale)
    return Work(
        forward_passes=questions + own.forward_passes,
        alone_layer_tokens=own.alone_layer_tokens,
        swept_layer_tokens=scale.swept(questions),
        swept_heads=questions,
        alone_encoded=own.alone_encoded,
        assumed="no list of minimal sets is complete before the budget is spent",
    )


def doses(scale: Scale) -> Work | None:
    settings = scale.config.dose
    if not settings.grid:
        return None
    halvings = math.ceil(math.log2(max(1.0 / (settings.grid * settings.tolerance), 1.0)))
    questions = float(scale.audit * (settings.grid - 1 + halvings))
    return Work(
        forward_passes=questions,
        swept_layer_tokens=scale.swept(questions),
        swept_heads=questions,
        assumed="every prompt is flipped by its candidates",
    )


def search_by_chance(scale: Scale) -> Work:
    """Random candidates mostly flip nothing: two questions a prompt, and its attribution. What fires
    on the training prompts is read here, for all who draw random features."""
    questions = 2 * scale.audit
    own = _own_order(scale)
    return Work(
        forward_passes=2 * scale.train + questions + own.forward_passes,
        alone_layer_tokens=scale.whole(2 * scale.train + scale.audit) + own.alone_layer_tokens,
        swept_layer_tokens=scale.swept(questions),
        heads=3 * scale.audit,
        swept_heads=questions,
        alone_encoded=scale.encoded(2 * scale.train) + own.alone_encoded,
        assumed="random candidates flip nothing",
    )


def pooled_set(scale: Scale) -> Work:
    questions = DISTINCT * scale.audit * (_SET_SIZE + 1)
    return Work(
        forward_passes=questions,
        swept_layer_tokens=scale.swept(questions),
        swept_heads=questions,
        assumed=f"sets of {_SET_SIZE} features",
    )


def interactions(scale: Scale) -> Work:
    settings = scale.config.interactions
    panel = min(settings.pooled_prompts, (scale.audit + 1) // 2)
    prompts = scale.audit + panel
    singles = DISTINCT * prompts * scale.n_candidates
    masks = DISTINCT * prompts * settings.n_masks
    return Work(
        forward_passes=singles + masks,
        # A single feature's ablation runs the layers above its own: half of them on average.
        swept_layer_tokens=scale.swept(singles, 0.5) + scale.swept(masks),
        swept_heads=singles + masks,
        fits=scale.audit + 1,
        assumed="two thirds of the sets change something",
    )


def cascades(scale: Scale) -> Work:
    return _waves(scale, _WAVES, n_clean_readings=2)


def cascades_by_chance(scale: Scale) -> Work:
    """The same search; what the random set is drawn from is read once more."""
    return _waves(scale, 1, n_clean_readings=3)


def _waves(scale: Scale, n_waves: int, *, n_clean_readings: int) -> Work:
    readings = scale.audit * (n_clean_readings + n_waves * (2 + _SET_SIZE))
    tests = scale.audit * (3 + n_waves * _WAKES_TESTED * scale.config.cascade.max_tested)
    return Work(
        forward_passes=readings + tests,
        alone_layer_tokens=scale.whole(readings),
        swept_layer_tokens=scale.swept(tests),
        heads=readings,
        swept_heads=tests,
        alone_encoded=scale.encoded(readings),
        assumed=f"{n_waves} waves" if n_waves > 1 else "nothing that wakes joins a wave",
    )


def edges(scale: Scale) -> Work:
    m, settings = _SET_SIZE, scale.config.cascade
    # Each cause spared, alone, and alone with all else held; stand-ins for half of the pairs.
    runs = 1 + 2 * m + m * _WOKEN + settings.edge_controls * m * _WOKEN / 2
    total = _DEEPER * scale.audit * runs
    return Work(
        forward_passes=total,
        swept_layer_tokens=total * scale.tokens * scale.above / 2,
        alone_encoded=scale.encoded(2 * _DEEPER * scale.audit),
        assumed=f"a second wave of {_WOKEN} features on {_DEEPER:.0%} of prompts",
    )


def waking(scale: Scale) -> Work:
    readings = scale.audit * _WAVES * (scale.config.controls.random_sets + 1)
    return Work(
        forward_passes=readings,
        swept_layer_tokens=readings * scale.tokens * scale.above,
        alone_encoded=scale.encoded(readings + 2 * scale.audit),
        assumed=f"{_WAVES} waves",
    )


def _own_order(scale: Scale) -> Work:
    """Each prompt's own attribution, where searches take candidates in its order."""
    attributed = scale.config.minimal.order != "candidates"
    return attribution(scale, scale.audit if attributed else 0)
