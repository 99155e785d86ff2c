"""The stages of an audit, a file each, of its declared name: its questions, and their cost.

A stage module has `STAGE`, its declaration; `run(state)`, which leaves its finding in the state and in
the record; and `price(size)`, the stage's work, None if the settings leave it out. Stages do not import
each other: what several need is in the state, or in a module beside this folder.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Protocol, runtime_checkable

from sae_audit.findings import stages
from sae_audit.findings.stages import Stage
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState


@runtime_checkable
class StageModule(Protocol):
    """A module of this folder."""

    @property
    def STAGE(self) -> Stage[object]: ...  # noqa: N802 (a constant of the module)
    @property
    def run(self) -> Callable[[AuditState], object]: ...
    @property
    def price(self) -> Callable[[AuditSize], Work | None]: ...


def _module(stage: Stage[object]) -> StageModule:
    found = import_module(f"{__name__}.{stage.name}")
    assert isinstance(found, StageModule), f"{stage.name} lacks STAGE, run or price"
    return found


STAGES: tuple[StageModule, ...] = tuple(map(_module, stages.STAGES))
"""The module of each declared stage, in the order in which a plan lists them."""
