"""The subject: a model with its SAE suite, and an audit's questions about the two.

Every question is a method that returns numpy arrays and the project's own types and hides hooks,
batches and tensors. Each kind of question has a file in `questions`.
"""

from sae_audit.subject.questions.answers import AnswerQuestions
from sae_audit.subject.questions.directions import DirectionQuestions
from sae_audit.subject.questions.features import FeatureQuestions
from sae_audit.subject.questions.firing import FiringQuestions
from sae_audit.subject.questions.patching import PatchingQuestions
from sae_audit.subject.questions.scores import ScoreQuestions


class Subject(
    ScoreQuestions,
    FiringQuestions,
    FeatureQuestions,
    DirectionQuestions,
    PatchingQuestions,
    AnswerQuestions,
):
    """The model under audit with its SAE suite."""
