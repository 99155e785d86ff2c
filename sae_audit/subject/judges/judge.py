"""The one question every judge answers, and how the judge of an audit is chosen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from sae_audit.config import JudgeSettings
from sae_audit.errors import AuditError
from sae_audit.subject.checkpoint import complete_folder
from sae_audit.subject.judges.substring import SubstringJudge

Exchange = tuple[str, str]
"""A prompt and its completion."""


@runtime_checkable
class Judge(Protocol):
    """Reads exchanges and says which of them complied."""

    @property
    def name(self) -> str:
        """How a report calls it."""
        ...

    def complied_all(self, exchanges: Sequence[Exchange]) -> list[bool]: ...


def load_judge(settings: JudgeSettings, *, device: str) -> Judge:
    """The judge that was asked for; a model is loaded only where one was.

    Raises:
        AuditError: there is no such model, the template is unreadable, or the classifier has no
            such label.
    """
    if settings.kind == "substring":
        return SubstringJudge()
    from sae_audit.subject.judges import models

    folder = complete_folder(settings.model or "", "judge")
    if not (folder / "config.json").is_file():
        raise AuditError(
            f"No judge model in {folder}; give a checkpoint (judge.model) with its tokenizer."
        )
    template = None
    if settings.template is not None:
        if not Path(settings.template).is_file():
            raise AuditError(f"No judge template file {settings.template}.")
        template = models.read_template(Path(settings.template))
    if settings.kind == "classifier":
        assert settings.complied_label is not None, "the configuration asks for it"
        return models.ClassifierJudge(
            folder, complied_label=settings.complied_label, template=template, device=device
        )
    return models.InstructJudge(folder, answer=settings.answer, template=template, device=device)


def judge_files(model: str) -> list[Path]:
    """The files that a judge's model is loaded from, in the order of their names.

    Raises:
        AuditError: there is no such model.
    """
    folder = complete_folder(model, "judge")
    kinds = {".safetensors", ".json", ".txt", ".model", ".jinja"}
    return sorted(file for file in folder.iterdir() if file.is_file() and file.suffix in kinds)
