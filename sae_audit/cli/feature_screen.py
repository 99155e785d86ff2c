"""One feature on the screen, in at most 80 columns."""

from sae_audit.cli import screen
from sae_audit.cli.screen import escaped
from sae_audit.record.feature import FeatureInRun, Waking
from sae_audit.record.feature_words import (
    counted,
    partner_said,
    position_said,
    span,
    topics_said,
    waking_said,
)

_FEW = 6
"""Rows of a list that are printed."""


def print_feature(found: FeatureInRun) -> None:
    """Print all that a run says of one feature, without any prompt's words."""
    place = f", {found.rank}. of {found.n_named} by importance" if found.rank else ""
    _out(
        f"[bold]{found.id}[/]  layer {found.feature.layer}, number {found.feature.index} of "
        f"{found.sae.width:,}{place}"
    )
    if found.candidate is not None:
        screen.line(
            f"cosine {found.candidate.cosine:.2f} with the refusal direction, "
            f"{found.place_by_cosine}. of {found.n_candidates} candidates"
        )
    if found.neuronpedia:
        screen.line(found.neuronpedia)
    _out(f"\n[bold]{escaped(found.verdict)}[/]")
    for sentence in found.sentences:
        _out(escaped(sentence))
    if found.explanation:
        _out(f"Explained as: {escaped(found.explanation)}")
    _print_effects(found)
    _print_partners(found)
    _print_waking("Wakes when it is off", found.wakes)
    _print_waking("Woken when they are off", found.woken_by)
    _print_firing(found)
    _print_row(found)


def _print_effects(found: FeatureInRun) -> None:
    if found.effects:
        _out("\n[bold]What it does to refusal[/] (in brackets: 95% interval)")
    for one in found.effects:
        screen.line(f"  {one.name}: {one.turned} ({one.interval})")
        screen.line(f"    score {one.change} nats")
        screen.line(f"    random features: {one.random}; score {one.change_random}")


def _print_partners(found: FeatureInRun) -> None:
    if found.partners:
        _out("\n[bold]Partners[/]")
    for one in found.partners[:_FEW]:
        screen.line(f"  {one.feature}  {partner_said(one)}")


def _print_waking(title: str, found: tuple[Waking, ...]) -> None:
    if found:
        _out(f"\n[bold]{title}[/]")
    for one in found[:_FEW]:
        screen.line(f"  {one.feature}  {waking_said(one)}")


def _print_firing(found: FeatureInRun) -> None:
    profile = found.profile
    if profile is None:
        return
    _out("\n[bold]Where it fires[/]")
    for label, share in (("harmful", profile.fires_harmful), ("harmless", profile.fires_harmless)):
        screen.line(f"  on {counted(share)} {label} prompts ({span(share)})")
    for label, said in topics_said(profile).items():
        _out(f"  {label} topics: {escaped(said)}")
    for one in profile.top[:_FEW]:
        topic = found.topics.get(one.prompt_id) or "no topic"
        screen.line(f"  {one.activation:8.2f}  {one.prompt_id}, {topic}, {position_said(one)}")


def _print_row(found: FeatureInRun) -> None:
    profile = found.profile
    if profile is None:
        return
    _out("\n[bold]What its decoder row points at[/] (a pointer, not a proof of use)")
    for title, tokens in (("raises", profile.promoted), ("lowers", profile.suppressed)):
        said = ", ".join(repr(one.text) for one in tokens)
        _out(f"  {title} the tokens {escaped(said)}")
    for title, near in (
        ("nearest in this layer", profile.nearest),
        ("nearest in others", profile.nearest_elsewhere),
    ):
        if near:
            said = ", ".join(f"{one.feature} ({one.cosine:.2f})" for one in near)
            _out(f"  {title}: {said}; by chance about {found.chance_cosine:.2f}")


def _out(text: str) -> None:
    screen.out.print(text, highlight=False)
