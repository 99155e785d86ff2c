"""The waves of dormant features behind each flipped prompt's minimal set (2509.09708)."""

from sae_audit.cascade.waves import cascade
from sae_audit.findings import Cascade
from sae_audit.findings.stages import CASCADES
from sae_audit.pipeline.cascade_questions import cascade_questions, silent_act
from sae_audit.pipeline.pricing import WAVES, AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt
from sae_audit.vocabulary import FeatureSet

STAGE = CASCADES


def run(state: AuditState) -> None:
    own = state.flipping
    state.session.remember_each(STAGE, state.flipped, lambda p: follow(state, p, own[p.id]))


def follow(state: AuditState, prompt: Prompt, features: FeatureSet) -> Cascade:
    """The cascade behind one set of features that flips a prompt."""
    settings, ask = state.config.cascade, cascade_questions(state, prompt)
    return cascade(prompt.id, ask, features, settings, silent_act=silent_act(state))


def price(size: AuditSize) -> Work:
    return size.waves(WAVES, n_clean_readings=2)
