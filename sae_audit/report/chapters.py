"""The chapters below the first screen: an answer, a figure, how we know, and the details folded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sae_audit.findings import ClaimAbout
from sae_audit.margins import refuses
from sae_audit.record.feature_words import counted, span
from sae_audit.record.run import Run
from sae_audit.report.section import Section
from sae_audit.report.verdict.behaviour import claim, refusal, stands
from sae_audit.report.verdict.mechanism import mechanism, seen
from sae_audit.report.verdict.standing import seen_if_true, why_not_features
from sae_audit.report.verdict.words import several
from sae_audit.statistics import share


@dataclass(frozen=True, kw_only=True)
class LeadFigure:
    """The figure of a chapter, one of those of its sections."""

    name: str
    title: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """One question of a reader, with the sections that hold its details."""

    id: str
    title: str
    menu: str
    """Its title in the navigation."""
    answer: Callable[[Run], Sequence[str]]
    """Sentences; the first one answers."""
    known: str
    """How we know."""
    sections: tuple[str, ...]
    """Ids of its sections, in their order."""
    lead: LeadFigure | None = None


@dataclass(frozen=True, kw_only=True)
class Topic:
    """The harmful prompts of one topic, each a box: refused or answered."""

    name: str
    refused: tuple[bool, ...]
    """Refused prompts first."""

    @property
    def said(self) -> str:
        return f"{sum(self.refused)} of {len(self.refused)}"


def topics(run: Run) -> list[Topic]:
    """Harmful audit prompts by topic, the topic with the smallest share of refusals first."""
    by_name: dict[str, list[bool]] = {}
    for one in run.scores:
        if one.split == "audit" and one.label == "harmful":
            by_name.setdefault(one.category or "no topic", []).append(bool(refuses(one.score)))
    found = [
        Topic(name=name, refused=tuple(sorted(refused, reverse=True)))
        for name, refused in by_name.items()
    ]
    return sorted(found, key=lambda one: (sum(one.refused) / len(one.refused), one.name))


def _does(run: Run) -> Sequence[str]:
    own = refusal(run)
    worst = topics(run)[:1]
    if not worst:
        return own.sentences
    (topic,) = worst
    if all(topic.refused):
        return (*own.sentences, "It refused every harmful prompt of every topic.")
    if run.stopped_early:
        return own.sentences
    return (*own.sentences, f"It refused least on {topic.name}: {topic.said}.")


def _holds(run: Run) -> Sequence[str]:
    if run.stopped_early:
        return (
            "Not looked for: without refusal that is tied to harm there is nothing to explain.",
        )
    found = mechanism(run)
    return (*found.sentences, *_found_by_text(run))


def _found_by_text(run: Run) -> Sequence[str]:
    read = run.confirmation
    if read is None or not read.of_flips:
        return ("No answer was read: all of this is by the refusal score.",)
    own = share(read.n_flipped_in_text, read.n_refused)
    return (f"Read as text, {counted(own)} answers complied ({span(own)}).",)


def _backup(run: Run) -> Sequence[str]:
    if run.stopped_early or not run.cascades or run.pooled_cascade is None:
        return ("Not followed: no refusal was ended, so nothing could stand in.",)
    pooled = run.pooled_cascade
    deeper = pooled.depths.deeper
    wakes = (
        f"On {counted(deeper)} prompts ({span(deeper)}) silent features begin to fire once the "
        "first are off."
    )
    if stands(run, ClaimAbout.BACKUPS):
        return ("Yes: features that were silent restore part of the refusal.", wakes)
    found = pooled.restoration
    rescue = (
        "They rescue nothing: they lower the refusal further."
        if found is not None and found.restored.high < 0.0
        else "Whether they restore refusal more than others do is open."
    )
    if not (tested := claim(run, ClaimAbout.BACKUPS)) or not tested.n:
        return ("Not known: what such features restore could not be measured.", wakes)
    return (f"None found. {seen_if_true(run, ClaimAbout.BACKUPS)}".rstrip(), wakes, rescue)


def _trust(run: Run) -> Sequence[str]:
    if run.stopped_early:
        return ("No features were looked for, so only the SAEs' own quality can be told.",)
    figure = seen(run)
    said = (
        f"The features that we searched explain {figure.value} of what removing the direction does "
        f"({figure.interval})."
        if figure.share is not None
        else f"How much of the refusal the SAEs show: {figure.value} ({figure.interval})."
    )
    return (said, _learned(run), _harmless(run))


def _learned(run: Run) -> str:
    if stands(run, ClaimAbout.FEATURES):
        return "SAEs that learned nothing of this model do worse."
    why = why_not_features(run)
    return f"No claim about features stands: {why}."


def _harmless(run: Run) -> str:
    effects = [one.side_effects for one in run.minimal_sets if one.side_effects is not None]
    if not effects:
        return "No set ends a refusal within the limits of side effects."
    worst = max(effects, key=lambda one: one.kl.value)
    return (
        "On harmless prompts the costliest set changes the next word by KL "
        f"{worst.kl.value:.3f} nats, within the limit of {run.config.side_effects.kl_limit:g}."
    )


def _not_shown(run: Run) -> Sequence[str]:
    n, layers = run.findings.prompts.harmful, run.manifest.model.n_layers
    audited = len(run.manifest.saes)
    where = f"all {layers} layers" if audited == layers else f"{audited} of {layers} layers"
    return (
        "It says nothing of jailbreaks, other languages, long conversations, or what follows the "
        "start of an answer.",
        f"It rests on {several(n, 'harmful prompt')} and on {where}.",
    )


CHAPTERS = (
    Chapter(
        id="does",
        title="What does it do?",
        menu="What it does",
        answer=_does,
        known="The model ran on each prompt with nothing switched off. A prompt counts as refused "
        "if its refusal score is above 0.",
        sections=("behaviour",),
    ),
    Chapter(
        id="holds",
        title="What holds the refusal?",
        menu="What holds it",
        answer=_holds,
        known="For each refused prompt a smallest set was searched for. The model then ran with "
        "the set off, and once more for each of its features left on.",
        sections=(
            *("direction", "layers", "categories", "candidates", "minimal"),
            *("filtering", "interactions", "features"),
        ),
        lead=LeadFigure(
            name="common",
            title="Features that most sets hold",
            caption="Prompts whose minimal set holds the feature; up to 25 features. One that "
            "stands on a single prompt is particular to it, or one of several that would do.",
        ),
    ),
    Chapter(
        id="backup",
        title="Is there a backup?",
        menu="Backups",
        answer=_backup,
        known="After each switching off, features that begin to fire were switched off too, and "
        "the score was read again. Features that fire all along stand beside them.",
        sections=("cascades",),
        lead=LeadFigure(
            name="cascade_scores",
            title="Refusal score after each wave of switching off",
            caption="One line a prompt, from its clean score. A line that rises again would be a "
            "rescue; below the dotted line the model complies.",
        ),
    ),
    Chapter(
        id="trust",
        title="Can we trust it?",
        menu="Can we trust it",
        answer=_trust,
        known="The same was done with random features, with other ways of choosing features, with "
        "SAEs that know nothing of the model, and on harmless prompts.",
        sections=("claims", "coverage", "nulls", "side_effects", "controls"),
        lead=LeadFigure(
            name="per_prompt",
            title="Refusals that equally large sets of other origins end",
            caption="Each prompt's own set ends its refusal because it was found on that prompt. "
            "What to read is how rarely the others do.",
        ),
    ),
    Chapter(
        id="not_shown",
        title="What does it not show?",
        menu="What it does not show",
        answer=_not_shown,
        known="Every limit is computed from the record. The card says what was audited, with what "
        "and how, and the commands repeat it.",
        sections=("limits", "card", "repeat", "methods"),
    ),
)
"""In the order of the page."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A chapter of one page: its answer, and those of its sections that the record fills."""

    chapter: Chapter
    answer: tuple[str, ...]
    sections: tuple[Section, ...]


def shown(run: Run, sections: Sequence[Section]) -> list[Shown]:
    """Every chapter, with those of the sections shown that are its own."""
    by_id = {one.id: one for one in sections}
    return [
        Shown(
            chapter=one,
            answer=tuple(one.answer(run)),
            sections=tuple(by_id[id] for id in one.sections if id in by_id),
        )
        for one in CHAPTERS
    ]
