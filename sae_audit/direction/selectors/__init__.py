"""Selectors of a direction among candidates, by the names that `direction.selection` takes."""

from collections.abc import Mapping

from sae_audit.direction.methods import Selector
from sae_audit.direction.selectors import bypass, cosmic

SELECTORS: Mapping[str, Selector] = {"bypass": bypass.SELECTOR, "cosmic": cosmic.SELECTOR}
