"""The end of a run: manifest, published findings, report."""

from math import isfinite

from sae_audit.findings.stages import REPORT
from sae_audit.pipeline.inputs import Inputs
from sae_audit.pipeline.session import Session
from sae_audit.record import environment, folder
from sae_audit.record.facts import (
    MadeForFacts,
    Manifest,
    ModelFacts,
    ReadoutFacts,
    ReadTokenFacts,
    RefusalTokenFacts,
    SaeFacts,
)
from sae_audit.record.publish import published
from sae_audit.record.run import Run
from sae_audit.report.page import write_page


def write_outputs(session: Session, inputs: Inputs) -> None:
    """Write `manifest.json`, `findings.json` and `index.html`, each from those before it."""
    session.progress(REPORT, 0, 1)
    manifest = _manifest(session, inputs)
    folder.write_manifest(session.folder, manifest)
    run = Run(session.folder)
    findings = published(run)
    folder.write_findings(session.folder, findings)
    write_page(run)
    session.progress(REPORT, 1, 1)


def _manifest(session: Session, inputs: Inputs) -> Manifest:
    subject, store = session.subject, session.store
    return Manifest(
        sae_audit=environment.package_version(),
        started=store.fact("started") or "",
        finished=store.fact("finished") or folder.now(),
        identity=store.fact("identity") or "",
        command=store.fact("command") or "",
        seed=session.config.seed,
        model=_model(session),
        saes=tuple(
            SaeFacts(
                layer=layer,
                release=sae.release or session.config.saes,
                repository=sae.repository,
                revision=sae.revision,
                id=sae.id,
                width=sae.d_sae,
                architecture=sae.architecture,
                hook_name=sae.hook_name,
                sha256=sae.sha256,
            )
            for layer, sae in sorted(subject.suite.items())
        ),
        refusal_tokens=_refusal_tokens(session),
        readout=_readout(session),
        template_tokens=tuple(subject.template.after()),
        notes=_notes(session),
        prompt_sources=inputs.sources,
        category_sources=inputs.category_sources,
        environment=environment.environment(subject.accelerator),
        stages=store.costs(),
        peak_memory_bytes=max(environment.peak_memory_bytes(), subject.peak_device_memory()),
    )


def _model(session: Session) -> ModelFacts:
    identity = session.subject.identity
    return ModelFacts(
        id=session.config.name or identity.id,
        # A folder's path would name a place of this machine.
        source=identity.id if identity.revision else "",
        revision=identity.revision,
        sha256=identity.sha256,
        n_layers=session.subject.n_layers,
        d_model=session.subject.d_model,
        architecture=identity.architecture,
        dtype=identity.dtype,
        device=identity.device,
        dtype_reason=identity.dtype_reason,
        quantised_from=identity.quantised_from,
        adapter_scale=identity.adapter_scale,
        adapter_merged=identity.adapter_merged,
        made_for=tuple(
            MadeForFacts(layers=one.layers, sha256=one.sha256, name=one.name, is_own=one.is_own)
            for one in identity.made_for
        ),
    )


def _notes(session: Session) -> tuple[str, ...]:
    tokens = session.subject.refusal_tokens
    of_tokens = (tokens.note,) if tokens is not None and tokens.note else ()
    return (*session.subject.template.notes, *of_tokens)


def _readout(session: Session) -> ReadoutFacts:
    readout = session.subject.readout
    wording = readout.wording
    return ReadoutFacts(
        kind=readout.kind,
        threshold=readout.threshold,
        bound=readout.bound if isfinite(readout.bound) else None,
        tokens=tuple(
            ReadTokenFacts(role=one.role, id=one.id, text=one.text) for one in readout.tokens
        ),
        title=wording.title,
        score=wording.score,
        meaning=wording.meaning,
        missed=wording.missed,
    )


def _refusal_tokens(session: Session) -> RefusalTokenFacts | None:
    tokens = session.subject.refusal_tokens
    if tokens is None:
        return None
    return RefusalTokenFacts(
        ids=tokens.ids,
        texts=tokens.texts,
        source=tokens.source,
        n_answers=tokens.n_answers,
        n_refused=tokens.n_refused,
        n_scored=tokens.n_scored,
    )
