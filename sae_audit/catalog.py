"""SAE suites by name: release, SAE of each layer, training model, and notes."""

import re
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sae_audit.bundled import bundled_root
from sae_audit.errors import AuditError
from sae_audit.untrusted import read_yaml, shown, unprintable

HOOK = "blocks.{layer}.hook_resid_post"
NEURONPEDIA = "https://www.neuronpedia.org/"
_SOURCE = re.compile(r"[\w.-]{1,100}/(?=.*\{layer\})[\w.{}-]{1,100}")
_MOST_LAYERS = 1000
"""Layers, the limit of one suite; the deepest published model has about 130."""
_MOST_SUITES = 10_000


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*")
    @classmethod
    def _printable(cls, value: object) -> object:
        # Names and notes reach the terminal and the page.
        words = value if isinstance(value, tuple) else (value,)
        for word in words:
            found = unprintable(word) if isinstance(word, str) else None
            if found is not None:
                raise ValueError(f"the text holds the control character {found}; take it out")
        return value


class SparsityChoices(_Entry):
    """Further SAEs of the same layers and width, with other L0."""

    ids: str
    """Id of an SAE, with `{layer}` and `{l0}`."""
    release: str | None = None
    """Release that holds them; None: the suite's own."""
    choices: tuple[str, ...] | None = None
    """Words that `{l0}` may be; None: a number, of which the nearest is taken."""


class Suite(_Entry):
    """One SAE per layer, for one model."""

    name: str
    models: tuple[str, ...] = Field(min_length=1)
    """Models that it is used with, the most likely first."""
    trained_on: str
    activations: Literal["base", "instruct"]
    """Kind of model on whose activations it was trained."""
    release: str | None = None
    """Release in sae_lens' registry; if None, `ids` are folders in `repository`."""
    repository: str
    """Repository on the hub, or a local folder."""
    ids: str
    """Id in the release, or folder, of a layer's SAE, with `{layer}`."""
    neuronpedia: str | None = None
    """Model and source of its pages on neuronpedia.org (`MODEL/SOURCE`, with `{layer}`); None if it has
    none."""
    layers: tuple[int, ...]
    width: int | None = None
    """Number of features, d_sae; None if only the SAE's own config gives it."""
    d_model: int
    hook: str = HOOK
    architecture: str
    normalisation: str = "none"
    """Normalisation of the input by sae_lens (`normalize_activations`)."""
    l0: SparsityChoices | None = None
    licence: str | None = None
    notes: str = ""

    @field_validator("layers", mode="before")
    @classmethod
    def _spelled_out(cls, layers: object) -> object:
        if isinstance(layers, list):
            if len(layers) > _MOST_LAYERS:
                raise ValueError(f"{len(layers)} layers are listed, and {_MOST_LAYERS} are read")
            return layers
        spelled: list[int] = []
        for part in str(layers).split(","):
            first, _, last = part.strip().partition("-")
            if not re.fullmatch(r"[0-9]{1,6}(-[0-9]{1,6})?", part.strip()):
                raise ValueError(f"layers are written 0-25 or 9, 20, 31, not {shown(layers, 60)!r}")
            span = range(int(first), int(last or first) + 1)
            if not span or span[-1] >= _MOST_LAYERS or len(spelled) + len(span) > _MOST_LAYERS:
                raise ValueError(
                    f"{shown(part.strip(), 60)} are no layers of a model; they go up, from 0 to "
                    f"{_MOST_LAYERS - 1} at most"
                )
            spelled.extend(span)
        return spelled

    @field_validator("layers")
    @classmethod
    def _layers(cls, layers: tuple[int, ...]) -> tuple[int, ...]:
        wrong = next((layer for layer in layers if not 0 <= layer < _MOST_LAYERS), None)
        if wrong is not None:
            raise ValueError(f"{shown(wrong, 60)} is no layer of a model (0 to {_MOST_LAYERS - 1})")
        return layers

    @model_validator(mode="after")
    def _readable(self) -> "Suite":
        if self.hook != HOOK:
            raise ValueError(f"an audit reads {HOOK}, not {self.hook}")
        if not self.name.strip() or "\n" in self.name or not self.layers:
            raise ValueError("a suite has a name on one line, and a layer at least")
        if len(self.layers) > 1 and "{layer}" not in self.ids:
            raise ValueError("ids must hold {layer}, or all layers would have one SAE")
        if self.neuronpedia is not None and not _SOURCE.fullmatch(self.neuronpedia):
            raise ValueError("neuronpedia is written MODEL/SOURCE, with {layer} in it")
        if self.l0 is not None and self.l0.ids.count("{l0}") != 1:
            raise ValueError("l0.ids must hold {l0} once")
        if self.l0 is not None and not (self.l0.choices or self.l0.release or self.release):
            raise ValueError("l0 needs choices where there is no release to take them from")
        return self

    def id_of(self, layer: int) -> str:
        return self.ids.replace("{layer}", str(layer))


def read_catalog(own: str | Path | None = None) -> list[Suite]:
    """The suites of the user's own catalog file, followed by those that ship with the project.

    Raises:
        AuditError: The file is missing, or an entry in it is not a suite.
    """
    found = _read(_own(own)) if own is not None else []
    suites: dict[str, Suite] = {}
    for suite in (*found, *_shipped()):
        suites.setdefault(suite.name, suite)
    return list(suites.values())


@cache
def _shipped() -> tuple[Suite, ...]:
    """Read once a process: it does not change, and takes longer to read than a small model."""
    return tuple(_read(bundled_root() / "catalog.yaml"))


def _own(location: str | Path) -> Path:
    try:
        return Path(location).expanduser()
    except RuntimeError as error:  # the home folder of an unknown user
        raise AuditError(f"No catalog file {shown(location)}: {shown(error)}") from error


def suites_for(suites: list[Suite], model: str) -> list[Suite]:
    """Suites used with a model, matched by its whole id or any part of it."""
    asked = model.casefold()
    exact = [s for s in suites if asked in (name.casefold() for name in s.models)]
    return exact or [s for s in suites if any(asked in name.casefold() for name in s.models)]


def neuronpedia_source(release: str, id: str, layer: int) -> str:
    """Neuronpedia's `MODEL/SOURCE` of an SAE by its release and id; empty if the shipped catalog knows
    none."""
    for suite in _shipped():
        known = suite.neuronpedia is not None and suite.release == release
        if known and layer in suite.layers and suite.id_of(layer) == id:
            return str(suite.neuronpedia).replace("{layer}", str(layer))
    return ""


def _read(file: Path) -> list[Suite]:
    entries = read_yaml(file)
    if not isinstance(entries, list):
        raise AuditError(
            f"{shown(file)} holds no list of suites, as pretrained_saes/catalog.yaml is; each "
            "begins with `- name: ...`."
        )
    if len(entries) > _MOST_SUITES:
        raise AuditError(
            f"{shown(file)} lists {len(entries):,} suites, and {_MOST_SUITES:,} are read; split it."
        )
    suites: dict[str, Suite] = {}
    for number, entry in enumerate(entries, start=1):
        try:
            suite = Suite.model_validate(entry)
        except ValidationError as error:
            raise AuditError(f"{shown(file)}, {_what(entry, number)}: {_fault(error)}.") from error
        if suite.name in suites:
            raise AuditError(
                f"{shown(file)} names two suites {suite.name!r}; give each a name of its own."
            )
        suites[suite.name] = suite
    return list(suites.values())


def _what(entry: object, number: int) -> str:
    name = entry.get("name") if isinstance(entry, dict) else None
    return f"suite {shown(name, 60)!r}" if isinstance(name, str) and name else f"entry {number}"


def _fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    key = shown(".".join(str(part) for part in fault["loc"]), 80)
    match fault["type"]:
        case "missing":
            return f"{key!r} is missing"
        case "extra_forbidden":
            return f"unknown field {key!r}; known are {', '.join(Suite.model_fields)}"
        case _:
            said = shown(fault["msg"])
            return f"{key}: {said}" if key else said
