"""One audit, start to end. Read this first.

prompts -> model with SAEs -> refusal direction -> candidate features -> minimal sets
-> interactions -> cascades -> controls -> record -> report

A model without a refusal mechanism ends early (`presence`), with a whole record and report that say so.
"""

import shutil
import time
from pathlib import Path

from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError, FaultInsideError
from sae_audit.findings import Absence, PromptScore, SaeQuality
from sae_audit.pipeline import cascade_depth, cascades, depth, opening, presence, stages
from sae_audit.pipeline.certainty import check_direction, measure_coverage
from sae_audit.pipeline.closing import close
from sae_audit.pipeline.confirmation import confirm_flips
from sae_audit.pipeline.controls import run_controls
from sae_audit.pipeline.pinning import resumed
from sae_audit.pipeline.session import Progress, Session, silent
from sae_audit.pipeline.successive import follow_directions
from sae_audit.prompts.types import Splits
from sae_audit.record import environment, folder
from sae_audit.record.run import Run, load_run
from sae_audit.subject.cost import CostMeter

_REPEAT = "sae-audit audit config.yaml --out NEW_FOLDER"
"""Run inside a run's folder, repeats it; names no place, so that a record can be handed on."""


def audit(
    config: AuditConfig,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Run:
    """Audit refusal in one checkpoint and write the record to the folder `out`.

    Where no folder is given it is `reports/NAME`, the model's name or that of its folder.

    A run that was interrupted resumes where it stopped; a finished one is read back. A model without a
    refusal mechanism gives a finished run too: `Run.absence` says why there is none.

    Raises:
        AuditError: bad input; nothing is left behind.
        AuditIncompleteError: interrupted or failed inside; what was done so far is kept.
    """
    target = Path(out) if out is not None else default_folder(config)
    begun = folder.begun_config(target)
    if begun is not None and not overwrite:
        config = resumed(config, begun)
    progress("loading", 0, 1)
    opened = opening.opened(config)
    config, subject, splits = opened.config, opened.subject, opened.splits
    hashes = [subject.identity.sha256, *(d.sha256 for d in subject.suite.values())]
    hashes += [source.sha256 for source in opened.sources]
    run_identity = folder.identity(config, environment.package_version(), hashes)
    folder.check_folder(target, run_identity, overwrite=overwrite)
    if not overwrite and folder.is_finished(target):
        return load_run(target)
    started = time.perf_counter()
    scores = opening.classified(subject, splits)
    seconds = time.perf_counter() - started
    absence = presence.absent_behaviour(config, subject, scores)
    progress("loading", 1, 1)

    is_new = overwrite or not (target / "run.sqlite").exists()
    store = folder.begin(target, config, run_identity, _REPEAT, overwrite=overwrite)
    # A model that answers nothing harmless is not ablated; only then are all of them taken.
    harmless = opening.as_labelled(splits.train, scores).harmless or splits.train.harmless
    session = Session(
        subject=subject,
        config=config,
        store=store,
        folder=target,
        progress=progress,
        ablation=opening.ablation(config, subject, harmless),
    )
    try:
        # All passes so far, those that found the refusal tokens included, belong to the scores.
        session.keep("scores", "all", list[PromptScore], scores, since=CostMeter(), seconds=seconds)
        _measure_saes(session, opened)
        if absence is not None:
            presence.record_absent_behaviour(session, splits, absence)
        else:
            _run_stages(session, opened, scores)
        close(session, opened)
    except AuditError:
        if is_new:
            shutil.rmtree(target)
        raise
    except Exception as error:
        raise FaultInsideError(f"{type(error).__name__}: {error}") from error
    finally:
        store.close()
    return load_run(target)


def default_folder(config: AuditConfig) -> Path:
    return Path("reports") / (config.name or Path(config.model.partition("@")[0]).name)


def _measure_saes(session: Session, opened: opening.Opened) -> None:
    session.progress("sae_quality", 0, 1)
    session.remember(
        "sae_quality",
        "all",
        list[SaeQuality],
        lambda: session.subject.sae_quality(list(opened.splits.audit), seed=session.config.seed),
    )
    session.progress("sae_quality", 1, 1)


def _run_stages(session: Session, opened: opening.Opened, scores: list[PromptScore]) -> None:
    train, validation, audited = (
        opening.as_labelled(own, scores) for own in opened.splits.named().values()
    )
    prompts = Splits(train=train, validation=validation, audit=audited)
    found = presence.search(session, prompts)
    if isinstance(found, Absence):
        return
    direction, candidates, pools = found.direction, found.candidates, found.pools
    refused, minimal_sets = audited.harmful, found.minimal_sets
    check = check_direction(session, direction, train, audited)
    follow_directions(session, direction, check, prompts)
    measure_coverage(session, direction, train, audited, candidates, minimal_sets)
    depth.find_families(session, refused, pools, minimal_sets)
    doses = depth.find_doses(session, refused, pools, minimal_sets)
    pooled = stages.pool_sets(session, refused, minimal_sets)
    stages.fit_interactions(session, refused, candidates, minimal_sets, pooled)
    followed = cascades.follow_cascades(session, refused, minimal_sets, direction)
    by_chance = cascades.follow_by_chance(session, refused, followed, direction)
    cascade_depth.deepen_cascades(session, refused, followed, by_chance)
    run_controls(session, train, audited, candidates, pools, minimal_sets, doses, pooled)
    cascade_depth.try_sufficiency(
        session, train, audited, candidates, minimal_sets, pooled, followed
    )
    if opened.judge is not None:
        confirm_flips(session, opened.judge, train, audited, candidates, minimal_sets, pooled)
