"""One audit, start to end. Read this first.

prompts -> model with SAEs -> refusal direction -> candidate features -> minimal sets
-> interactions -> cascades -> controls -> record -> report

A model without a refusal mechanism ends early (`presence`), with a whole record and report that say so.
"""

import time
from pathlib import Path

from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError, AuditIncompleteError, FaultInsideError
from sae_audit.findings import Absence, PromptScore
from sae_audit.findings.stages import LOADING, SAE_QUALITY, SCORES
from sae_audit.pipeline import cascade_depth, cascades, depth, opening, presence, stages
from sae_audit.pipeline.certainty import check_direction, measure_coverage
from sae_audit.pipeline.closing import close
from sae_audit.pipeline.confirmation import confirm_flips
from sae_audit.pipeline.controls import run_controls
from sae_audit.pipeline.identifying import identified
from sae_audit.pipeline.pinning import resumed
from sae_audit.pipeline.session import TOKENS_PER_BATCH, Progress, Session, silent
from sae_audit.pipeline.successive import follow_directions
from sae_audit.pipeline.training import Training
from sae_audit.prompts.types import Splits
from sae_audit.record import folder
from sae_audit.record.run import Run, load_run
from sae_audit.record.store import Store
from sae_audit.subject.checkpoint.gguf import PACKAGE
from sae_audit.subject.model.cost import CostMeter
from sae_audit.untrusted import name_fault, shown

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

    A run that was interrupted resumes where it stopped; a finished one is read back. With `overwrite`
    another run in the folder is replaced, once the new one is finished. A model without a refusal
    mechanism gives a finished run too: `Run.absence` says why there is none.

    Raises:
        AuditError: bad input. Found before anything is recorded, it leaves nothing behind; found
            later, it leaves what was recorded.
        AuditIncompleteError: interrupted or failed inside; what was done so far is kept.
    """
    target = Path(out) if out is not None else default_folder(config)
    with folder.reserved(target, overwrite=overwrite) as place:
        begun = folder.begun_config(place)
        if begun is not None:
            config = resumed(config, begun)
        progress(LOADING, 0, 1)
        opened = opening.opened(_with_batches_of(config, place))
        identity = identified(opened)
        folder.check_same(place, identity)
        if not overwrite and folder.is_finished(target):
            return load_run(target)
        command = _REPEAT + (" --trust-remote-code" if config.trust_remote_code else "")
        store = folder.begin(place.making, opened.config, identity, command)
        try:
            _carry_out(opened, place, store, progress)
        except (AuditError, AuditIncompleteError):
            raise
        except Exception as error:
            raise FaultInsideError(f"{type(error).__name__}: {error}") from error
        finally:
            store.close()
    return load_run(target)


def default_folder(config: AuditConfig) -> Path:
    """`reports/NAME`.

    Raises:
        AuditError: the name is no name of a folder.
    """
    name = config.name or _name_of(config.model)
    if fault := name_fault(name):
        raise AuditError(
            f"The name '{shown(name)}' cannot be that of a folder in reports/ ({fault}); give another "
            "(--name), or a folder with --out."
        )
    return Path("reports") / name


def _name_of(model: str) -> str:
    """The last part of a hub id or path; of a path that ends in dots, the folder's that it leads to."""
    path = Path(model.removeprefix(PACKAGE).partition("@")[0])
    return path.name if path.name not in ("", "..") else path.resolve().name


def _with_batches_of(config: AuditConfig, place: folder.Place) -> AuditConfig:
    """The settings, with batches as large as those of the run that is resumed."""
    recorded = place.facts.get(TOKENS_PER_BATCH, "")
    if config.tokens_per_batch is not None or not recorded.isdecimal() or len(recorded) > 9:
        return config
    return config.model_copy(update={TOKENS_PER_BATCH: max(1, int(recorded))})


def _carry_out(
    opened: opening.Opened, place: folder.Place, store: Store, progress: Progress
) -> None:
    config, subject, splits = opened.config, opened.subject, opened.splits
    scores, seconds = store.get(SCORES, SCORES.key), 0.0
    is_new = scores is None
    if scores is None:
        started = time.perf_counter()
        scores = opening.classified(subject, splits)
        seconds = time.perf_counter() - started
    # A model that answers nothing harmless is not ablated; only then are all of them taken.
    harmless = opening.as_labelled(splits.train, scores).harmless or splits.train.harmless
    session = Session(
        subject=subject,
        config=config,
        store=store,
        folder=place.making,
        progress=progress,
        ablation=opening.ablation(config, subject, harmless),
    )
    progress(LOADING, 1, 1)
    if is_new:
        # All passes so far, those that found the refusal tokens included, belong to the scores.
        session.keep(SCORES, SCORES.key, scores, since=CostMeter(), seconds=seconds)
    absence = presence.absent_behaviour(session, scores)
    _measure_saes(session, opened)
    if absence is not None:
        presence.record_absent_behaviour(session, splits, absence)
    else:
        _run_stages(session, opened, scores)
    close(session, opened)
    folder.finish(place, store)


def _measure_saes(session: Session, opened: opening.Opened) -> None:
    session.remember(
        SAE_QUALITY,
        lambda: session.subject.sae_quality(list(opened.splits.audit), seed=session.config.seed),
    )


def _run_stages(session: Session, opened: opening.Opened, scores: list[PromptScore]) -> None:
    train, validation, audited = (
        opening.as_labelled(own, scores) for own in opened.splits.named().values()
    )
    prompts = Splits(train=train, validation=validation, audit=audited)
    training = Training(session.subject, train)
    found = presence.search(session, prompts, training)
    if isinstance(found, Absence):
        return
    direction, candidates, pools = found.direction, found.candidates, found.pools
    refused, minimal_sets = audited.harmful, found.minimal_sets
    check = check_direction(session, direction, train, audited)
    follow_directions(session, direction, check, prompts)
    measure_coverage(session, direction, train, training, audited, candidates, minimal_sets)
    depth.find_families(session, refused, pools, minimal_sets)
    doses = depth.find_doses(session, refused, pools, minimal_sets)
    pooled = stages.pool_sets(session, refused, minimal_sets)
    stages.fit_interactions(session, refused, candidates, minimal_sets, pooled)
    followed = cascades.follow_cascades(session, refused, minimal_sets, direction)
    by_chance = cascades.follow_by_chance(session, refused, followed, direction)
    cascade_depth.deepen_cascades(session, refused, followed, by_chance)
    run_controls(session, training, audited, candidates, pools, minimal_sets, doses, pooled)
    cascade_depth.try_sufficiency(
        session, training, audited, candidates, minimal_sets, pooled, followed
    )
    if opened.judge is not None:
        confirm_flips(session, opened.judge, training, audited, candidates, minimal_sets, pooled)
