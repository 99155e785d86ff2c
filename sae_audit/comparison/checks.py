"""Checks that two runs are comparable: prompts in common, the same SAEs, readout and ablation."""

from sae_audit.errors import AuditError
from sae_audit.findings import AbsenceKind
from sae_audit.record.run import Run
from sae_audit.statistics import FEWEST_CASES
from sae_audit.untrusted import shown


def check_comparable(a: Run, b: Run) -> None:
    """Check that the runs can be compared.

    Raises:
        AuditError: the runs differ in a required setting; says which and the remedy.
    """
    shared = _audited(a) & _audited(b)
    for label in ("harmful", "harmless"):
        n = sum(own == label for _, own in shared)
        if n < min(FEWEST_CASES, *(_n_audited(run, label) for run in (a, b))):
            raise AuditError(
                f"{a.folder} and {b.folder} audited different prompts ({n} {label} ones in common); "
                "audit both with the same prompt files, sizes and seed."
            )
    if [s.sha256 for s in a.manifest.saes] != [s.sha256 for s in b.manifest.saes]:
        raise AuditError(
            f"{a.folder} and {b.folder} used different SAEs; audit both through the same suite."
        )
    _check_readouts(a, b)
    _check_scored(a, b)
    ways = [(c.clamp, c.positions.value, c.error_term.value) for c in (a.config, b.config)]
    if ways[0] != ways[1]:
        raise AuditError(
            f"The runs ablate differently, {ways[0]} and {ways[1]}; use the "
            "same clamp, positions and error_term."
        )


def on_shared_prompts(a: Run, b: Run) -> Run:
    """The parent with the audit prompts alone that the variant was audited on too; itself if these are
    all. Whatever is compared is read off the parent's prompts."""
    shared = _audited(b)
    if _audited(a) <= shared:
        return a
    run = Run(a.folder)
    run.__dict__.update(a.__dict__)
    run.__dict__["scores"] = [
        one for one in a.scores if one.split != "audit" or (one.prompt_id, one.label) in shared
    ]
    return run


def _n_audited(run: Run, label: str) -> int:
    return sum(own == label for _, own in _audited(run))


def _check_readouts(a: Run, b: Run) -> None:
    of_a, of_b = a.manifest.refusal_tokens, b.manifest.refusal_tokens
    if of_a is None or of_b is None:
        if _read(a) != _read(b):
            raise AuditError(
                f"The runs are scored by different readouts, {_named(a)} and {_named(b)}; audit both "
                "with the same (the readout section of config.yaml)."
            )
        return
    # The score sums over them, so that their order says nothing.
    if set(of_a.ids) == set(of_b.ids):
        return
    unheard = [run for run, own in ((a, of_a), (b, of_b)) if own.source == "none"]
    if unheard:
        raise AuditError(
            f"{unheard[0].folder} knows no refusal token, so its scores cannot be held against "
            "the other's; audit it again with the other's (--set refusal_tokens=[...])."
        )
    raise AuditError(
        f"The runs score different refusal tokens, {of_a.texts} and {of_b.texts}; give "
        "both the same with --set refusal_tokens=[...]."
    )


def _check_scored(a: Run, b: Run) -> None:
    for run in (a, b):
        absence = run.absence
        if absence is None or absence.kind is not AbsenceKind.UNSCORED_REFUSAL:
            continue
        raise AuditError(
            f"{run.folder} refuses in words that its score does not count, so a comparison of scores "
            "would call its refusals lost; audit both with tokens that begin the refusals of both "
            "(--set refusal_tokens=[...])."
        )


def _read(run: Run) -> tuple[str, frozenset[tuple[str, int]]]:
    readout = run.manifest.readout
    return readout.kind, frozenset((one.role, one.id) for one in readout.tokens)


def _named(run: Run) -> str:
    readout = run.manifest.readout
    tokens = ", ".join(f"{shown(one.text)!r} {shown(one.role)}" for one in readout.tokens)
    return f"{shown(readout.kind)} ({tokens})"


def caveats(a: Run, b: Run) -> list[str]:
    """Differences that do not prevent the comparison."""
    found = _unshared(a, b)
    if a.manifest.sae_audit != b.manifest.sae_audit:
        found.append(
            f"The runs were made by versions {a.manifest.sae_audit} and {b.manifest.sae_audit}."
        )
    thresholds = [run.manifest.readout.threshold for run in (a, b)]
    if thresholds[0] != thresholds[1]:
        found.append(
            f"The runs' readouts have different thresholds, {thresholds[0]:g} and {thresholds[1]:g} "
            "nats: scores are counted each from its own."
        )
    stages = ("direction", "candidates", "minimal", "interactions", "cascade", "evidence")
    found += [
        f"The settings under {name!r} differ between the runs."
        for name in stages
        if getattr(a.config, name) != getattr(b.config, name)
    ]
    return found + _uneven_means(a, b) + _unclean_directions(a, b)


def _unshared(a: Run, b: Run) -> list[str]:
    """A caveat if only some of the prompts were audited in both."""
    of_a, of_b = _audited(a), _audited(b)
    if of_a == of_b:
        return []
    return [
        f"Compared on the {len(of_a & of_b)} prompts that both runs audited, of {len(of_a)} of the "
        f"parent's and {len(of_b)} of the variant's; what is said under 'Both checkpoints' and of SAEs "
        "is of each run's own prompts."
    ]


def _uneven_means(a: Run, b: Run) -> list[str]:
    """One caveat per checkpoint whose means are over all training prompts of a label."""
    return [
        f"The {who}'s audit stopped before a direction ({run.absence.kind.value}); its means are over "
        "all its training prompts, not over those it treats as labelled."
        for who, run in (("parent", a), ("variant", b))
        if run.absence is not None and run.stopped_early and run.discarded_directions is None
    ]


def _unclean_directions(a: Run, b: Run) -> list[str]:
    """One caveat per checkpoint whose direction breaks a limit or removes little, and one if the two
    rank their features otherwise for it."""
    found = [
        f"The {who}'s direction {' and '.join(why)}."
        for who, run in (("parent", a), ("variant", b))
        if not run.stopped_early and (why := _faults(run))
    ]
    if a.stopped_early or b.stopped_early:
        return found
    methods = [run.candidates.method for run in (a, b)]
    if methods[0] != methods[1]:
        found.append(
            f"Features are ranked by {methods[0]} in the parent and by {methods[1]} in the variant; "
            "which features a set holds differs for that alone."
        )
    return found


def _faults(run: Run) -> list[str]:
    direction = run.direction
    weak = (
        [f"removes {direction.removed.value:.0%} of the refusal score, which is weak"]
        if direction.weak and direction.removed is not None
        else []
    )
    return [*direction.breaks, *weak]


def _audited(run: Run) -> set[tuple[str, str]]:
    return {(s.prompt_id, s.label) for s in run.scores if s.split == "audit"}
