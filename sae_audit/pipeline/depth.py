"""Stage 2 in depth: each prompt's other minimal sets, and how much of an ablation flips it."""

from collections.abc import Sequence

from sae_audit.findings import FlipDose, MinimalSet, MinimalSetFamily
from sae_audit.findings.stages import DOSES, MINIMAL_SET_FAMILIES
from sae_audit.minimal.all_sets import minimal_set_family
from sae_audit.minimal.dose import flip_dose
from sae_audit.pipeline.session import Session
from sae_audit.pipeline.stages import Pools, search_orders
from sae_audit.prompts.types import Prompt
from sae_audit.vocabulary import FeatureId


def find_families(
    session: Session,
    prompts: Sequence[Prompt],
    pools: Pools,
    minimal_sets: Sequence[MinimalSet],
) -> list[MinimalSetFamily]:
    """Stage 2, third step: the other minimal sets of each flipped prompt."""
    own = {found.prompt_id: found for found in minimal_sets if found.flipped}
    settings = session.config.minimal
    if not own or not settings.more_sets_budget:
        return []

    def order(prompt: Prompt) -> list[FeatureId]:
        # Of two orders the second, by estimated effect: for one budget it finds more sets.
        return search_orders(session, prompt, pools)[-1]

    return session.remember_together(
        MINIMAL_SET_FAMILIES,
        [prompt for prompt in prompts if prompt.id in own],
        lambda p: minimal_set_family(own[p.id], order(p), settings),
        session.scores,
    )


def find_doses(
    session: Session,
    prompts: Sequence[Prompt],
    pools: Pools,
    minimal_sets: Sequence[MinimalSet],
) -> list[FlipDose]:
    """Stage 2, fourth step: how much of the ablation flips each prompt."""
    own = {found.prompt_id: found for found in minimal_sets}
    settings = session.config.dose
    if not own or not settings.grid:
        return []
    return session.remember_together(
        DOSES,
        list(prompts),
        lambda p: flip_dose(own[p.id], frozenset(pools[p.id]), settings),
        session.dosed_scores,
    )
