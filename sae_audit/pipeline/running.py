"""The folder around an audit: reserved, resumed or read back, and the treatment of errors inside."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError, AuditIncompleteError, FaultInsideError
from sae_audit.findings.stages import LOADING
from sae_audit.pipeline.identity import identity_of
from sae_audit.pipeline.inputs import Inputs, load_inputs
from sae_audit.pipeline.outputs import write_outputs
from sae_audit.pipeline.pinning import resumed
from sae_audit.pipeline.session import TOKENS_PER_BATCH, Progress, Session, silent
from sae_audit.pipeline.state import AuditState
from sae_audit.record import folder
from sae_audit.record.store import Store
from sae_audit.subject.checkpoint.gguf import PACKAGE
from sae_audit.untrusted import name_fault, shown

_REPEAT = "sae-audit audit config.yaml --out NEW_FOLDER"
"""Command, run in a run's folder, that repeats it; it names no place, so a record can be passed on."""


def default_folder(config: AuditConfig) -> Path:
    """`reports/NAME`, by the model's name or the last part of its folder or hub id.

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
    """The last part of a hub id or path; if the path ends in dots, of the folder that it leads to."""
    path = Path(model.removeprefix(PACKAGE).partition("@")[0])
    return path.name if path.name not in ("", "..") else path.resolve().name


@contextmanager
def running(
    config: AuditConfig, target: Path, *, overwrite: bool, progress: Progress
) -> Iterator[AuditState | None]:
    """The state of the audit in the folder, begun or resumed; None if it is finished.

    At the end of the block the findings and the page are written and the run is finished.

    Raises:
        AuditError: bad input; what was recorded stays.
        AuditIncompleteError: interrupted or failed inside; what was done so far is kept.
    """
    with folder.reserved(target, overwrite=overwrite) as place:
        begun = folder.begun_config(place)
        if begun is not None:
            config = resumed(config, begun)
        progress(LOADING, 0, 1)
        inputs = load_inputs(_with_batches_of(config, place))
        identity = identity_of(inputs)
        folder.check_same(place, identity)
        if not overwrite and folder.is_finished(target):
            yield None
            return
        command = _REPEAT + (" --trust-remote-code" if config.trust_remote_code else "")
        store = folder.begin(place.making, inputs.config, identity, command)
        try:
            state = _begun(inputs, store, place.making, progress)
            yield state
            write_outputs(state.session, inputs)
            folder.finish(place, store)
        except (AuditError, AuditIncompleteError):
            raise
        except Exception as error:
            raise FaultInsideError(f"{type(error).__name__}: {error}") from error
        finally:
            store.close()


def _with_batches_of(config: AuditConfig, place: folder.Place) -> AuditConfig:
    """The settings, with the batch size of the run that is resumed."""
    recorded = place.facts.get(TOKENS_PER_BATCH, "")
    if config.tokens_per_batch is not None or not recorded.isdecimal() or len(recorded) > 9:
        return config
    return config.model_copy(update={TOKENS_PER_BATCH: max(1, int(recorded))})


@contextmanager
def unpublished(config: AuditConfig, making: Path) -> Iterator[AuditState]:
    """The state of an audit without a report in the new folder `making`, before its first stage.

    Raises:
        AuditError: bad input.
    """
    with opened(load_inputs(config), making) as state:
        yield state


@contextmanager
def opened(inputs: Inputs, making: Path) -> Iterator[AuditState]:
    """The same with inputs that are loaded already."""
    store = folder.begin(making, inputs.config, identity_of(inputs), "")
    try:
        yield _begun(inputs, store, making, silent)
    finally:
        store.close()


def _begun(inputs: Inputs, store: Store, making: Path, progress: Progress) -> AuditState:
    """The state of an audit before its first stage."""
    return AuditState(
        session=Session(
            subject=inputs.subject,
            config=inputs.config,
            store=store,
            folder=making,
            progress=progress,
        ),
        inputs=inputs,
    )
