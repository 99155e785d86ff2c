"""Taxonomies of refused requests: categories by name, and where the prompts of each are.

A taxonomy is a YAML file. It holds no prompts: it names sources, and which of their categories belong
to which of its own.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)

from sae_audit import presets
from sae_audit.bundled import named_file
from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.findings.categories import RANDOM_DIRECTION, RESERVED
from sae_audit.prompts.near_duplicates import near_duplicates
from sae_audit.prompts.sources import OpenedSource, kept_sources
from sae_audit.prompts.types import Label, Prompt
from sae_audit.untrusted import read_yaml, shown

_FOLDER = Path(presets.__file__).parent / "taxonomies"
_Name = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[\w ./()-]+$")]
_Source = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
_MOST_CATEGORIES = 64


class PromptsOf(BaseModel):
    """Where the prompts of one category are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: tuple[_Source, ...] = Field(min_length=1, max_length=32)
    """As in `prompts.sources`."""
    where: tuple[_Source, ...] = Field(default=(), max_length=256)
    """Patterns (`*safety*`), of which the category that a prompt has in its source matches one; all of
    its prompts if there is none. Case does not matter."""

    def holds(self, prompt: Prompt) -> bool:
        """Whether a prompt of one of its sources belongs to it."""
        own = prompt.category.casefold()
        return not self.where or any(fnmatchcase(own, one.casefold()) for one in self.where)


class Taxonomy(BaseModel):
    """Categories of requests that a model is to refuse, and harmless requests beside them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    note: str = Field(default="", max_length=2000)
    """Where it comes from."""
    harmless: PromptsOf
    """Requests that it is to answer: of these sources those labelled harmless."""
    categories: dict[_Name, PromptsOf] = Field(min_length=2, max_length=_MOST_CATEGORIES)
    """By name, requests that it is to refuse: of these sources those labelled harmful."""

    @field_validator("categories")
    @classmethod
    def _own_names(cls, given: dict[str, PromptsOf]) -> dict[str, PromptsOf]:
        for name in given:
            if name in RESERVED or name.startswith(f"{RANDOM_DIRECTION} "):
                raise ValueError(f"{name} is what a control is called; name the category otherwise")
        return given

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source, each once."""
        each = (self.harmless, *self.categories.values())
        return tuple(dict.fromkeys(name for one in each for name in one.sources))


def sources_of(config: AuditConfig) -> tuple[str, ...]:
    """Every source that an audit reads, those of its taxonomy too.

    Raises:
        AuditError: the taxonomy is missing, or is none.
    """
    asked = config.categories.taxonomy
    further = () if asked is None else read_taxonomy(asked).sources
    return tuple(dict.fromkeys([*config.prompts.sources, *further]))


@dataclass(frozen=True, kw_only=True)
class CategorisedPrompts:
    """The prompts of a taxonomy, none of which nearly repeats another."""

    harmless: tuple[Prompt, ...]
    categories: dict[str, tuple[Prompt, ...]]
    sources: tuple[OpenedSource, ...]

    @property
    def everyone(self) -> list[Prompt]:
        return [*self.harmless, *(one for own in self.categories.values() for one in own)]


def taxonomy_names() -> list[str]:
    """The taxonomies that can be called by name."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def taxonomy_file(name: str) -> Path:
    """The file of a taxonomy, by its name or path; it need not exist."""
    return _FOLDER / f"{name}.yaml" if name in taxonomy_names() else named_file(name)


def read_taxonomy(name: str) -> Taxonomy:
    """The taxonomy of a name or file.

    Raises:
        AuditError: there is none, or the file is no taxonomy.
    """
    file = taxonomy_file(name)
    if not file.is_file():
        raise AuditError(
            f"There is no taxonomy {shown(name)}; known are {', '.join(taxonomy_names())}, or give a "
            "YAML file (docs/categories.md)."
        )
    try:
        return Taxonomy.model_validate(read_yaml(file))
    except ValidationError as error:
        fault = error.errors()[0]
        place = shown(".".join(map(str, fault["loc"])))
        raise AuditError(
            f"{shown(file)} is no taxonomy: {place}: {shown(fault['msg'])} (docs/categories.md)."
        ) from error


def categorised_prompts(taxonomy: Taxonomy) -> CategorisedPrompts:
    """The prompts of every category, and the harmless ones.

    Raises:
        AuditError: a source cannot be read, a prompt belongs to two categories, or a category or the
            harmless side has none.
    """
    sources = kept_sources(taxonomy.sources)
    of_source = dict(zip(taxonomy.sources, sources, strict=True))
    every = [prompt for source in sources for prompt in source.prompts]
    repeats = near_duplicates(every)

    def of(own: PromptsOf, label: Label) -> tuple[Prompt, ...]:
        read = [prompt for name in own.sources for prompt in of_source[name].prompts]
        return tuple(
            one for one in read if one.label is label and own.holds(one) and one.id not in repeats
        )

    found = {name: of(own, Label.HARMFUL) for name, own in taxonomy.categories.items()}
    _check(taxonomy, found)
    harmless = of(taxonomy.harmless, Label.HARMLESS)
    if not harmless:
        raise AuditError(
            f"The taxonomy's harmless sources ({', '.join(map(shown, taxonomy.harmless.sources))}) "
            "hold no prompt labelled harmless; name one that does."
        )
    return CategorisedPrompts(harmless=harmless, categories=found, sources=tuple(sources))


def _check(taxonomy: Taxonomy, found: dict[str, tuple[Prompt, ...]]) -> None:
    category_of: dict[str, str] = {}
    for name, prompts in found.items():
        if not prompts:
            asked = taxonomy.categories[name]
            where = f" of category {' or '.join(map(shown, asked.where))}" if asked.where else ""
            raise AuditError(
                f"The taxonomy's category {shown(name)} has no prompt: "
                f"{', '.join(map(shown, asked.sources))} hold none labelled harmful{where}."
            )
        for one in prompts:
            if (other := category_of.setdefault(one.id, name)) != name:
                raise AuditError(
                    f"The prompt {shown(one.id)} belongs to two categories of the taxonomy, "
                    f"{shown(other)} and {shown(name)}; let their patterns exclude each other."
                )
