"""The control of a cascade: the same search behind a random set in its first wave's place."""

import numpy as np

from sae_audit.cascade.waves import Questions, cascade
from sae_audit.config import CascadeSettings
from sae_audit.findings import Cascade, CascadeNull
from sae_audit.sampling import random_stand_ins
from sae_audit.vocabulary import FeatureId


def cascade_null(
    found: Cascade,
    ask: Questions,
    settings: CascadeSettings,
    *,
    seed: int,
    silent_act: bool = False,
) -> CascadeNull:
    """What activates, and seems to matter, behind features that are not a minimal set.

    The random set is drawn as that of `activated` is. What is behind it faces the same tests, by the
    same threshold, though the prompt is then still refused: its score is far from 0, where most of
    the own cascade's tests are made near it.
    """
    first = frozenset(found.waves[0].features)
    members = frozenset[FeatureId]().union(*(wave.features for wave in found.waves))
    clean = ask.active([frozenset()])[0]
    # Prompts draw differently, and the same prompt always alike.
    own = np.random.default_rng([seed, *found.prompt_id.encode()]).integers(1 << 31)
    (drawn,) = random_stand_ins(first, clean, excluded=members, n_sets=1, seed=int(own))
    return CascadeNull(
        prompt_id=found.prompt_id,
        cascade=cascade(found.prompt_id, ask, drawn, settings, silent_act=silent_act)
        if drawn
        else None,
    )
