"""Names of bundled files stay inside the bundled folder."""

from collections.abc import Callable

import pytest

from sae_audit.bundled import bundled_root, resolve
from sae_audit.errors import AuditError
from sae_audit.prompts.locating import located
from sae_audit.subject.checkpoint.checkpoint import Checkpoint, ModelOptions
from sae_audit.subject.saes.places import sae_places


def test_a_bundled_name_is_a_file_that_ships_with_the_project() -> None:
    assert resolve("bundled:organism/base") == bundled_root() / "organism" / "base"


@pytest.mark.parametrize(
    "name", ["bundled:../..", "bundled:..", "bundled:organism/../../README.md", "bundled:/etc"]
)
@pytest.mark.parametrize(
    "ask",
    [
        resolve,
        lambda name: Checkpoint(name, ModelOptions()),
        lambda name: Checkpoint("bundled:organism/base", ModelOptions(adapter=name)),
        lambda name: sae_places(name, catalog=[], layers=None),
        lambda name: sae_places(f"{name}:layer_0", catalog=[], layers=None),
        located,
        lambda name: located(f"{name}?label=harmful"),
    ],
)
def test_a_bundled_name_leads_nowhere_else(ask: Callable[[str], object], name: str) -> None:
    with pytest.raises(AuditError, match="leads out of the files that ship with sae-audit; name"):
        ask(name)
