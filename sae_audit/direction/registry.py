"""Direction methods by name: sae-audit's own and those of other installed packages.

Other packages declare methods in the entry points `sae_audit.direction_estimators` (an `Estimator`) and
`sae_audit.direction_selectors` (a `Selector`). They are imported only once a config names them; until
then only package metadata is read.
"""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from sae_audit.config import DirectionSettings
from sae_audit.direction.estimators import ESTIMATORS
from sae_audit.direction.methods import Estimator, Selector
from sae_audit.direction.selectors import SELECTORS
from sae_audit.errors import AuditError
from sae_audit.untrusted import shown

ESTIMATOR_GROUP = "sae_audit.direction_estimators"
SELECTOR_GROUP = "sae_audit.direction_selectors"


def estimator(settings: DirectionSettings) -> Estimator:
    """The estimator that the settings name.

    Raises:
        AuditError: no estimator has that name, or a package's cannot be used.
    """
    return _named("direction.estimator", settings.estimator, ESTIMATORS, ESTIMATOR_GROUP, Estimator)


def selector(settings: DirectionSettings) -> Selector:
    """The selector that the settings name.

    Raises:
        AuditError: no selector has that name, or a package's cannot be used.
    """
    return _named("direction.selection", settings.selection, SELECTORS, SELECTOR_GROUP, Selector)


def check_methods(settings: DirectionSettings) -> None:
    """Check that the methods named by the settings exist and can be used.

    Raises:
        AuditError: one does not exist or cannot be used.
    """
    estimator(settings)
    selector(settings)


def methods_identity(settings: DirectionSettings) -> list[str]:
    """Origins and versions of the methods from other packages; empty if all are sae-audit's own.

    Raises:
        AuditError: no method has a given name.
    """
    asked = (
        ("direction.estimator", settings.estimator, ESTIMATORS, ESTIMATOR_GROUP),
        ("direction.selection", settings.selection, SELECTORS, SELECTOR_GROUP),
    )
    found = [_entry_point(*one) for one in asked]
    return [_source(point) for point in found if point is not None]


def _named(setting: str, name: str, own: Mapping[str, Any], group: str, kind: Any) -> Any:
    point = _entry_point(setting, name, own, group)
    if point is None:
        return own[name]
    try:
        found = point.load()
    # A package may fail in any way during its import.
    except Exception as error:
        raise AuditError(
            f"{setting} {shown(name)} of {_source(point)} cannot be imported: "
            f"{type(error).__name__}: {shown(error)}."
        ) from error
    if not isinstance(found, kind):
        raise AuditError(
            f"{setting} {shown(name)} of {_source(point)} is no {kind.__name__} "
            "(sae_audit.direction.methods)."
        )
    return found


def _entry_point(setting: str, name: str, own: Mapping[str, Any], group: str) -> EntryPoint | None:
    """The entry point of this name; None for sae-audit's own methods."""
    if name in own:
        return None
    others = entry_points(group=group)
    found = [point for point in others if point.name == name]
    if not found:
        known = ", ".join(map(shown, [*own, *sorted(others.names)]))
        raise AuditError(f"There is no {setting} {shown(name)}; known are {known}.")
    if len(found) > 1:
        packages = " and ".join(_source(point) for point in found)
        raise AuditError(
            f"{setting} {shown(name)} is offered by {packages}; uninstall all but one."
        )
    return found[0]


def _source(point: EntryPoint) -> str:
    package = point.dist
    named = "an unnamed package" if package is None else f"{package.name} {package.version}"
    return f"{shown(named)} ({shown(point.value)})"
