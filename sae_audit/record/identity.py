"""The identity of an audit: everything that decides its numbers, part by part."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.untrusted import parsed_json, shown

_NO_EFFECT_ON_NUMBERS = {"tokens_per_batch", "name"}
"""Settings left out, so that a run may be resumed with another batch size."""
_NAMED = 4
"""Number of settings that a message names; it counts the rest."""


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """Settings, version, and the hashes of all files that were read, by kind of file."""

    parts: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.as_json.encode()).hexdigest()

    @property
    def as_json(self) -> str:
        return json.dumps(self.parts, sort_keys=True)

    def difference(self, recorded: str) -> str:
        """The differences from another run's `as_json`, in words: `settings (dtype, seed), prompts`."""
        try:
            other = parsed_json(recorded, "the recorded identity")
        except AuditError:
            other = {}
        if not isinstance(other, dict):
            other = {}
        names = [
            _in_settings(name, one, other.get(name))
            for name, one in self.parts.items()
            if one != other.get(name)
        ]
        return ", ".join(names) or "parts"


def run_identity(config: AuditConfig, version: str, hashes: Mapping[str, Any]) -> RunIdentity:
    """The identity; `hashes` are those of the files read, by their names in messages."""
    settings = config.model_dump(mode="json", exclude=_NO_EFFECT_ON_NUMBERS)
    return RunIdentity(parts={"settings": settings, **hashes, "version": version})


def _in_settings(name: str, own: Any, other: Any) -> str:
    if not isinstance(own, dict) or not isinstance(other, dict):
        return name
    differing = [key for key in own if own[key] != other.get(key)]
    more = f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
    return f"{name} ({', '.join(shown(key, 40) for key in differing[:_NAMED])}{more})"
