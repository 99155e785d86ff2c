"""The published sets that can be called by name, from the table `known.yaml`."""

from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from sae_audit.prompts.types import Label


@dataclass(frozen=True, kw_only=True)
class KnownSet:
    """One published set; the fields are explained at the head of `known.yaml`."""

    name: str
    label: str
    licence: str
    gated: str
    note: str
    hub: str = ""
    files: tuple[str, ...] = ()
    language: str = ""
    categories: tuple[str, ...] = ()

    def holds(self, category: str) -> bool:
        """Whether prompts of this category belong to the set; True if the set names no categories."""
        return not self.categories or any(
            fnmatch(category.casefold(), pattern) for pattern in self.categories
        )

    @property
    def only_label(self) -> Label | None:
        """The label of all its prompts; None if files or rows differ."""
        return None if self.label == "both" else Label(self.label)


@cache
def known_sets() -> dict[str, KnownSet]:
    import yaml

    table = yaml.safe_load((Path(__file__).parent / "known.yaml").read_text(encoding="utf-8"))
    return {
        name: KnownSet(
            **{
                **entry,
                "name": name,
                "files": tuple(entry.get("files", ())),
                "categories": tuple(entry.get("categories", ())),
            }
        )
        for name, entry in table.items()
    }


def known_at(hub: str) -> list[KnownSet]:
    """The sets in this hub repository."""
    return [known for known in known_sets().values() if known.hub.casefold() == hub.casefold()]
