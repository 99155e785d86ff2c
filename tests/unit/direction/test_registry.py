"""Methods of other packages: found by name, imported when asked for, and part of a run's identity."""

from importlib.metadata import EntryPoint, EntryPoints
from types import SimpleNamespace
from typing import Any

import pytest

from sae_audit.config import DirectionSettings
from sae_audit.direction import registry
from sae_audit.direction.estimators import ESTIMATORS
from sae_audit.direction.methods import CandidateDirections, Means
from sae_audit.direction.selectors import SELECTORS, bypass
from sae_audit.errors import AuditError

HERE = __name__
BY_OTHERS = bypass.SELECTOR
NO_SELECTOR = "bypass"


def halved(means: Means) -> CandidateDirections:
    """An estimator as another package would have it."""
    whole = ESTIMATORS["difference_of_means"](means)
    return CandidateDirections(
        vectors=whole.vectors / 2.0, layers=whole.layers, positions=whole.positions
    )


def offered(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str, str]) -> None:
    """Entry points (group, name, value) of a package `probe` 1.4."""
    package: Any = SimpleNamespace(name="probe", version="1.4")
    made = [
        EntryPoint(name=name, value=value, group=group)._for(package)  # pyright: ignore[reportAttributeAccessIssue]
        for group, name, value in points
    ]
    monkeypatch.setattr(
        registry, "entry_points", lambda *, group: EntryPoints(made).select(group=group)
    )


def test_own_methods_are_found_and_add_nothing_to_the_identity():
    settings = DirectionSettings()
    assert registry.estimator(settings) is ESTIMATORS["difference_of_means"]
    assert registry.selector(settings) is SELECTORS["bypass"]
    assert registry.methods_identity(settings) == []


def test_a_package_is_imported_by_name_alone(monkeypatch: pytest.MonkeyPatch):
    """The other entry point would fail if it were imported."""
    offered(
        monkeypatch,
        (registry.ESTIMATOR_GROUP, "halved", f"{HERE}:halved"),
        (registry.ESTIMATOR_GROUP, "broken", "no_such_package:estimate"),
        (registry.SELECTOR_GROUP, "others", f"{HERE}:BY_OTHERS"),
    )
    settings = DirectionSettings(estimator="halved", selection="others")
    registry.check_methods(settings)
    assert registry.estimator(settings) is halved
    assert registry.selector(settings) is BY_OTHERS
    assert registry.methods_identity(settings) == [
        f"probe 1.4 ({HERE}:halved)",
        f"probe 1.4 ({HERE}:BY_OTHERS)",
    ]


def test_a_package_cannot_take_the_name_of_an_own_method(monkeypatch: pytest.MonkeyPatch):
    offered(monkeypatch, (registry.SELECTOR_GROUP, "bypass", "no_such_package:x"))
    assert registry.selector(DirectionSettings()) is SELECTORS["bypass"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"selection": "best"},
            "no direction.selection best; known are bypass, cosmic, broken, two, wrong",
        ),
        ({"estimator": "som"}, "no direction.estimator som; known are difference_of_means"),
        ({"selection": "broken"}, "of probe 1.4 .no_such_package:x. cannot be imported: Module"),
        ({"selection": "wrong"}, "is no Selector .sae_audit.direction.methods."),
        ({"selection": "two"}, "is offered by probe 1.4 .* and probe 1.4"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    settings: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
):
    offered(
        monkeypatch,
        (registry.SELECTOR_GROUP, "broken", "no_such_package:x"),
        (registry.SELECTOR_GROUP, "wrong", f"{HERE}:NO_SELECTOR"),
        (registry.SELECTOR_GROUP, "two", f"{HERE}:BY_OTHERS"),
        (registry.SELECTOR_GROUP, "two", f"{HERE}:NO_SELECTOR"),
    )
    with pytest.raises(AuditError, match=said):
        registry.check_methods(DirectionSettings.model_validate(settings))
