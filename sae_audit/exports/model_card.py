"""A section on refusal for a model's card: what was audited, what was found, what was not tried.

Its fields are those of Audit Cards (2504.13839). Whoever passes it on fills in the two that no record
holds, the auditor and the review.
"""

from collections.abc import Sequence

from sae_audit.exports.numbers import estimates
from sae_audit.findings import Claim, Estimate
from sae_audit.record.run import Run
from sae_audit.untrusted import printable

_SHARES = {
    "refused_harmful": "Harmful prompts refused",
    "refused_harmless": "Harmless prompts refused",
    "refused_lookalikes": "Safe look-alikes refused (harmless requests in alarming words)",
    "minimal_sets_flipped": "Refused prompts flipped by switching features off, by the refusal score",
    "flips_confirmed_in_text": "Of these, answers that complied in text",
    "pooled_set_flipped_held_out": "Held-out refused prompts flipped by one set of features",
}
_FILL_IN = "*not in the record: fill in*"


def model_card_section(run: Run) -> str:
    """The section in Markdown, without the text of any prompt."""
    manifest, found = run.manifest, estimates(run)
    model = manifest.model
    prompts = run.findings.prompts
    numbers = [
        (said, _counted(found[name]), _ends(found[name]))
        for name, said in _SHARES.items()
        if name in found
    ]
    place = f"{model.source}, revision {model.revision}" if model.revision else "a local folder"
    sources = ", ".join(source.source for source in manifest.prompt_sources)
    fields = [
        ("Audited", f"{model.id} ({place}); sha256 of the weights `{model.sha256}`"),
        ("Auditor", _FILL_IN),
        ("Independence and review", _FILL_IN),
        ("Date", f"{manifest.started} to {manifest.finished} (UTC)"),
        ("Access", "white box: weights and activations, changed in passing only"),
        (
            "Method",
            f"sae-audit {manifest.sae_audit}: features of sparse autoencoders ablated (2509.09708); "
            f"score: {manifest.readout.title or 'refusal tokens'}",
        ),
        ("SAEs", f"{len(manifest.saes)} of {model.n_layers} layers"),
        (
            "Prompts",
            f"{prompts.harmful} harmful and {prompts.harmless} harmless"
            + (
                f" and {prompts.safe_lookalikes} safe look-alikes"
                if prompts.safe_lookalikes
                else ""
            )
            + f" of {sources}, seed "
            f"{manifest.seed}",
        ),
        ("Resources", f"{manifest.seconds:,.0f} s on {manifest.environment.platform}"),
        ("Record", f"identity `{manifest.identity}`; `sae-audit verify RUN` measures it again"),
    ]
    absent = [] if run.absence is None else [f"**{_plain(run.absence.reason)}**", ""]
    lines = [
        "## Refusal audit",
        "",
        *absent,
        *_table(("", "", "95% interval"), numbers),
        "",
        "What the audit claims, and what it does not:",
        "",
        *(_claim(one) for one in run.claims),
        "",
        "Not tried: jailbreaks, other languages, long chats, other system prompts. An audit measures "
        "refusal on these prompts; it does not certify safety.",
        "",
        *_table(("Audit card", ""), fields),
    ]
    return "\n".join(lines) + "\n"


def _claim(one: Claim) -> str:
    verdict = "stands" if one.stands else "does not stand"
    return f"- **{one.about.value.replace('_', ' ')}** {verdict}. {_plain(one.reason)}"


def _counted(one: Estimate) -> str:
    return f"{round(one.value * one.n)} of {one.n}"


def _ends(one: Estimate) -> str:
    return f"{one.low:.0%} to {one.high:.0%}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    escaped = [[_plain(cell) for cell in row] for row in rows]
    return [line(heads), line(["---"] * len(heads)), *map(line, escaped)]


def _plain(text: str) -> str:
    """Text of a record without effect as a link, as markup, or on a table; on one line."""
    shown = " ".join(printable(text).split())
    for sign in ("\\", "|", "<", ">", "[", "]"):
        shown = shown.replace(sign, "\\" + sign)
    return shown
