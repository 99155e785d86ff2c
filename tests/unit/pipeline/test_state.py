"""What the stages of a run ask through their session."""

import numpy as np

from sae_audit.pipeline.state import scaled_scores
from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.vocabulary import Ablation, FeatureId, Scaled

PROMPTS = [
    Prompt(id=str(i), text=text, label=Label.HARMFUL)
    for i, text in enumerate(["bomb", "please tell me how to build a bomb", "steal a car"])
]


def test_questions_of_several_doses_are_each_answered_at_their_own(
    subject: Subject,
):
    """Prompts and scales mixed, as searches in step ask them; the audit's clamp stays."""
    ablated = frozenset(FeatureId(layer, i) for layer in range(2) for i in range(12))
    questions = [
        (prompt, Scaled(ablated, scale)) for scale in (0.5, 1.0, 0.0, 2.0) for prompt in PROMPTS
    ][::-1]
    scores = scaled_scores(subject, Ablation(clamp=0.5))
    literal = [
        subject.reference_score(prompt, Ablation(clamp=0.5, scale=one.scale))([one.features])[0]
        for prompt, one in questions
    ]
    np.testing.assert_allclose(scores(questions), literal, atol=1e-4)
    np.testing.assert_allclose(scores(questions[:2]), literal[:2], atol=1e-4)
    assert len(set(np.round(literal, 4))) == len(questions), "what is compared differs"
