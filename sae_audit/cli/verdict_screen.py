"""What a run says, on the screen: a verdict in at most 12 lines of 80 columns, or every finding."""

import textwrap
from typing import TYPE_CHECKING

from sae_audit.cli import screen
from sae_audit.cli.screen import escaped
from sae_audit.untrusted import printable

if TYPE_CHECKING:
    from sae_audit.record.run import Run
    from sae_audit.report.verdict.types import Figure, Reading, Verdict

WIDTH = 80
MOST_LINES = 12
_COLOURS = {"bad": "red", "warn": "yellow", "ok": "green", "open": "bright_black"}
_LONGEST_NAME = 30
_LAST_LINES = 2
"""Those that name the page and the command for everything."""


def print_verdict(run: "Run") -> None:
    """Print the verdict with its figures, what is not shown, and where the rest is."""
    from sae_audit.report.verdict.verdict import verdict

    found = verdict(run)
    figures = [_figure(one) for one in found.figures]
    foot = [*_important(found), *_absent(run, found)]
    foot.append("Not shown: jailbreaks, other languages, what follows the first words")
    free = MOST_LINES - _LAST_LINES - len(figures) - len(foot)
    head = _head(_name(run), found, min(3, free))
    for room, place in ((free - len(head), figures), (free - len(head) - 1, foot)):
        if room > 0:
            place.insert(0, "")
    for line in (*head, *figures, *foot):
        screen.out.print(line, highlight=False, soft_wrap=True)
    screen.line(f"Report: {run.folder / 'index.html'}")
    screen.line(f"All findings: sae-audit show {run.folder} --table")


def print_first_screen(run: "Run") -> None:
    """Print what the first screen of the page says."""
    from sae_audit.report.verdict.verdict import verdict

    found = verdict(run)
    for line in _head(_name(run), found):
        screen.out.print(line, highlight=False, soft_wrap=True)
    for said in found.sentences:
        _paragraph(said)
    screen.line("")
    for one in found.figures:
        screen.out.print(_figure(one), highlight=False, soft_wrap=True)
    screen.line("")
    for line in _important(found):
        screen.line(line)
    _paragraph(f"Read with care. {' '.join(found.care)}")
    for step in found.steps:
        if step.part == "":
            _paragraph(f"Next: {step.said} {step.command}".rstrip())
    screen.line(f"Report: {run.folder / 'index.html'}")
    screen.line(f"All findings: sae-audit show {run.folder} --table")


def reading_said(reading: "Reading") -> str:
    """Its sign, in ASCII where the output has no other."""
    encoding = screen.out.encoding or "ascii"
    try:
        reading.sign.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return reading.ascii_sign
    return reading.sign


def _name(run: "Run") -> str:
    name = printable(run.manifest.model.id)
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."


def _head(name: str, found: "Verdict", most: int = 3) -> list[str]:
    """The verdict in at most so many lines, as markup."""
    sign = f"{reading_said(found.reading)} {found.reading.value}"
    text = f"{sign}: {name}: {found.headline}"
    lines = textwrap.wrap(text, WIDTH, subsequent_indent="  ", max_lines=most, placeholder=" ...")
    colour = _COLOURS[found.reading.name_of_colour]
    return [f"[bold {colour}]{escaped(line)}[/]" for line in lines]


def _figure(one: "Figure") -> str:
    """One figure in a line of at most 80 columns, as markup."""
    colour = _COLOURS[one.reading.name_of_colour]
    interval = f"({one.interval})"
    return (
        f"  {escaped(f'{one.short:<25} {one.value:>9} {interval:<24}')} "
        f"[{colour}]{reading_said(one.reading)} {escaped(one.word)}[/]"
    )


def _important(found: "Verdict") -> list[str]:
    if not found.important:
        return []
    named = ", ".join(
        f"{one.feature} ({one.n_prompts} prompt{'s' if one.n_prompts != 1 else ''})"
        for one in found.important
    )
    return [f"{'Most important' if found.features_matter else 'In most sets'}: {named}"]


def _absent(run: "Run", found: "Verdict") -> list[str]:
    """What to check before an absence is relied on."""
    if run.absence is None:
        return []
    room = 1 if found.important else 2
    text = f"First: {printable(run.absence.remedy)}"
    return [
        escaped(line) for line in textwrap.wrap(text, WIDTH, max_lines=room, placeholder=" ...")
    ]


def _paragraph(text: str) -> None:
    for line in textwrap.wrap(printable(text), WIDTH, break_on_hyphens=False):
        screen.line(line)


def print_findings(run: "Run") -> None:
    """Print every finding with its control, and what the numbers rest on."""
    from rich.table import Table

    from sae_audit.pages.wording import absence_headline
    from sae_audit.report.caveats import direction_caveats, sae_caveat
    from sae_audit.report.findings.card.quality import quality_lines
    from sae_audit.report.findings.card.splits import split_rows
    from sae_audit.report.page import summary

    if of_saes := sae_caveat(run):
        screen.line(of_saes)
    table = Table(title=f"Refusal audit of {escaped(run.manifest.model.id)}", show_lines=True)
    table.add_column("Question", style="bold", ratio=2)
    table.add_column("Answer", ratio=3)
    table.add_column("Compared with", ratio=3)
    for row in summary(run):
        table.add_row(*(escaped(cell) for cell in (row.question, row.answer, row.control)))
    screen.out.print(table)
    screen.line("How well the SAEs describe this model, on the audited prompts:")
    for described in quality_lines(run):
        screen.line(f"  {described}")
    for source in run.manifest.prompt_sources:
        left_out = ", ".join(f"{n} {why}" for why, n in source.set_aside.items() if n)
        screen.line(
            f"Prompts of {source.source}: {source.n_prompts}"
            + (f"; set aside: {left_out}" if left_out else "")
        )
    for row in split_rows(run.scores):
        if row.n_as_labelled < row.n and row.label == "safe_lookalike":
            screen.line(f"Over-refused: {row.n - row.n_as_labelled} of {row.n} safe look-alikes")
        elif row.n_as_labelled < row.n:
            screen.line(
                f"Not behaving as expected: {row.n - row.n_as_labelled} of {row.n} {row.label} "
                f"prompts of {row.split}, set aside"
            )
    screen.line(_readout(run))
    screen.line(f"Report: {run.folder / 'index.html'}")
    for said in direction_caveats(run):
        screen.line(said)
    if run.absence is not None:
        screen.line(f"{absence_headline(run.absence.kind)} {run.absence.remedy}")


def _readout(run: "Run") -> str:
    tokens, readout = run.manifest.refusal_tokens, run.manifest.readout
    if tokens is not None:
        return f"Refusal tokens ({tokens.source}): {', '.join(map(repr, tokens.texts))}"
    return f"{readout.title}: {', '.join(f'{one.text!r} {one.role}' for one in readout.tokens)}"
