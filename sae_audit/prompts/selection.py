"""Selection of prompts by category and language, with the number left out."""

from collections import Counter
from collections.abc import Sequence

from sae_audit.config import PromptSettings
from sae_audit.errors import AuditError
from sae_audit.prompts.types import Label, Prompt

OTHER_CATEGORIES = "of other categories"
OTHER_LANGUAGES = "in other languages"


def selected(prompts: Sequence[Prompt], settings: PromptSettings) -> list[Prompt]:
    """The prompts of the requested categories and languages; all if none are requested.

    Harmless prompts and look-alikes without a category stay: they are compared with harmful ones of any
    category.

    Raises:
        AuditError: No prompt has such a category or language.
    """
    if settings.categories is not None:
        _check("categories", settings.categories, {prompt.category for prompt in prompts})
    if settings.languages is not None:
        _check("languages", settings.languages, {prompt.language for prompt in prompts})
    return [prompt for prompt in prompts if not _reason(prompt, settings)]


def left_out(prompts: Sequence[Prompt], settings: PromptSettings) -> Counter[str]:
    """Number of prompts that `selected` leaves out, by reason."""
    return Counter(reason for prompt in prompts if (reason := _reason(prompt, settings)))


def _reason(prompt: Prompt, settings: PromptSettings) -> str:
    """Why a prompt is left out; empty if it is kept."""
    wanted = settings.categories
    is_any = prompt.label != Label.HARMFUL and not prompt.category
    if wanted is not None and prompt.category not in wanted and not is_any:
        return OTHER_CATEGORIES
    if settings.languages is not None and prompt.language not in settings.languages:
        return OTHER_LANGUAGES
    return ""


def _check(setting: str, wanted: Sequence[str], present: set[str]) -> None:
    there = sorted(present - {""})
    for value in wanted:
        if value not in there:
            raise AuditError(
                f"prompts.{setting}: no prompt has {value!r}; there are {', '.join(there)}."
                if there
                else f"prompts.{setting}: no prompt has {value!r}, and none says anything of its "
                f"{setting}; leave the setting out, or name the column (?category=, ?language=)."
            )
