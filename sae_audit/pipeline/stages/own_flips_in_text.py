"""Whether the audited SAEs' own flips show in the answers' text, on the prompts searched with null
dictionaries: a flip is asked the same of real and null ones."""

from sae_audit.findings import FlipInText
from sae_audit.findings.stages import OWN_FLIPS_IN_TEXT
from sae_audit.pipeline.judging import complied
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState

STAGE = OWN_FLIPS_IN_TEXT


def run(state: AuditState) -> None:
    """Record the judge's verdicts; nothing unless text is confirmed and nulls are searched."""
    judge, evidence = state.judge, state.config.evidence
    if judge is None or evidence.null_flips == "score" or not state.flipping:
        return
    if not (evidence.null_dictionaries or evidence.null_saes):
        return
    prompts = state.drawn_refused(state.config.evidence.null_prompts)
    asked = [(p, state.flipping[p.id]) for p in prompts if p.id in state.flipping]

    def judged() -> list[FlipInText]:
        verdicts = complied(state, judge, asked)
        return [
            FlipInText(prompt_id=prompt.id, complied=verdict is True)
            for (prompt, _), verdict in zip(asked, verdicts, strict=True)
        ]

    state.session.remember(STAGE, judged)


def price(size: AuditSize) -> Work | None:
    evidence = size.config.evidence
    searched = evidence.null_dictionaries or evidence.null_saes
    if size.config.confirm != "text" or evidence.null_flips == "score" or not searched:
        return None
    n = min(evidence.null_prompts, size.audit)
    return Work(
        forward_passes=n,
        layer_tokens=size.whole(n),
        heads=n,
        steps=size.facts.batches(n) * size.config.answer_tokens,
    )
