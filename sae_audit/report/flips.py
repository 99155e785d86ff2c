"""How many refused prompts are flipped, in words: in text if answers were read, and by score."""

from sae_audit.findings import Confirmation, PooledSet
from sae_audit.pages.wording import of, share_said
from sae_audit.record.run import Run
from sae_audit.statistics import share

NOT_READ = "by score; not confirmed in text"
"""What is said of flips that no answer was read for."""


def flips_said(run: Run) -> str:
    """Refused prompts that their own minimal sets flip."""
    read, n = run.confirmation, len(run.minimal_sets)
    if read is None or not read.of_flips:
        flipped = sum(one.flipped for one in run.minimal_sets)
        return f"{_share(flipped, n)} {NOT_READ}"
    in_text, by_score, n = read.n_flipped_in_text, read.n_flipped_by_score, read.n_refused
    return f"{_share(in_text, n)} in the written answer and {of(by_score, n)} by score"


def pooled_flips_said(pooled: PooledSet, read: Confirmation | None) -> str:
    """Prompts that the pooled set flips, of those it was not built on."""
    flipped = pooled.flipped_held_out
    by_score = of(round(flipped.value * flipped.n), flipped.n)
    own = [] if read is None else read.of_case("pooled")
    if not own:
        return f"{share_said(flipped, 'prompts')} {NOT_READ}"
    in_text = sum(check.complied for check in own)
    as_text = share_said(share(in_text, len(own)), "prompts")
    return f"{as_text} in the written answer and {by_score} by score"


def _share(n: int, total: int) -> str:
    return share_said(share(n, total), "refused prompts")
