"""The model under audit with its SAE suite, on top of transformers and sae_lens."""

from sae_audit.subject.checkpoint.checkpoint import ModelOptions
from sae_audit.subject.instrument import Subject
from sae_audit.subject.judges import Judge, SubstringJudge, load_judge
from sae_audit.subject.listening import check_answers_end_their_thoughts, never_answered
from sae_audit.subject.loading import load_subject, subject_of

__all__ = [
    "Judge",
    "ModelOptions",
    "Subject",
    "SubstringJudge",
    "check_answers_end_their_thoughts",
    "load_judge",
    "load_subject",
    "never_answered",
    "subject_of",
]
