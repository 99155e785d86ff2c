"""Judges of whether a completion complied: refusal words, a classifier, or a language model."""

from sae_audit.subject.judges.judge import Judge, load_judge
from sae_audit.subject.judges.substring import SubstringJudge

__all__ = ["Judge", "SubstringJudge", "load_judge"]
