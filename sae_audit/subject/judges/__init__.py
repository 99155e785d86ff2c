"""Who says whether a completion complied: words, a classifier, or a model that is asked."""

from sae_audit.subject.judges.judge import Judge, judge_files, load_judge
from sae_audit.subject.judges.substring import SubstringJudge

__all__ = ["Judge", "SubstringJudge", "judge_files", "load_judge"]
