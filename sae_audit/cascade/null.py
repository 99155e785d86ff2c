"""The control of a cascade: the same search behind a random set in place of its first wave."""

import numpy as np

from sae_audit.cascade.waves import CascadeQuestions, cascade
from sae_audit.config import CascadeSettings
from sae_audit.findings import Cascade, CascadeNull
from sae_audit.sampling import random_stand_ins
from sae_audit.vocabulary import FeatureId


def cascade_null(
    found: Cascade,
    ask: CascadeQuestions,
    settings: CascadeSettings,
    *,
    seed: int,
    silent_act: bool = False,
) -> CascadeNull:
    """The cascade behind features that are not a minimal set.

    The random set is drawn as in `activated`. Dormant features face the same tests with the same
    threshold, though the prompt is then still refused: its score is far from 0, while most tests of the
    prompt's own cascade are made near 0.
    """
    first = frozenset(found.waves[0].features)
    members = frozenset[FeatureId]().union(*(wave.features for wave in found.waves))
    clean = ask.active([frozenset()])[0]
    # Draws differ between prompts, and repeat for the same prompt.
    own = np.random.default_rng([seed, *found.prompt_id.encode()]).integers(1 << 31)
    (drawn,) = random_stand_ins(first, clean, excluded=members, n_sets=1, seed=int(own))
    return CascadeNull(
        prompt_id=found.prompt_id,
        cascade=cascade(found.prompt_id, ask, drawn, settings, silent_act=silent_act)
        if drawn
        else None,
    )
