"""The model under audit with its SAE suite; the only room that knows transformers and sae_lens."""

from sae_audit.subject.instrument import Subject
from sae_audit.subject.judge import SubstringJudge
from sae_audit.subject.loading import load_subject

__all__ = ["Subject", "SubstringJudge", "load_subject"]
