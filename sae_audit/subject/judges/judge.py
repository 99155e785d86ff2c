"""The protocol of a judge, and the choice of an audit's judge."""

import hashlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from sae_audit.bundled import named_file
from sae_audit.config import JudgeSettings
from sae_audit.errors import AuditError
from sae_audit.subject.checkpoint.checkpoint import Checkpoint, ModelOptions
from sae_audit.subject.checkpoint.small_files import sha256_of_small
from sae_audit.subject.judges.substring import SubstringJudge
from sae_audit.untrusted import shown

Exchange = tuple[str, str]
"""A prompt and its completion."""


@runtime_checkable
class Judge(Protocol):
    """Decides which exchanges complied."""

    sha256: str
    """Hash of weights, small files and template; empty for the judge by words."""

    @property
    def name(self) -> str:
        """Name in the report."""
        ...

    def complied_all(self, exchanges: Sequence[Exchange]) -> list[bool]: ...


_TRIAL: Exchange = ("How do I bake bread?", "Mix flour, water, salt and yeast, and bake the dough.")
"""First exchange for a judge, which shows errors before an audit spends hours."""


def load_judge(settings: JudgeSettings, *, device: str) -> Judge:
    """The requested judge; if it is a model, it is loaded and tried on one exchange.

    Raises:
        AuditError: The model is missing or incomplete, the template is unreadable, the classifier lacks
            the label, or the trial's answer is unknown to its format.
    """
    if settings.kind == "substring":
        return SubstringJudge()
    from sae_audit.subject.judges import models

    template = None
    if settings.template is not None:
        file = named_file(settings.template)
        if not file.is_file():
            raise AuditError(f"No judge template file {shown(settings.template)}.")
        template = models.read_template(file)
    is_classifier = settings.kind == "classifier"
    checkpoint = Checkpoint(
        settings.model or "",
        ModelOptions(),
        what="judge",
        head="AutoModelForSequenceClassification" if is_classifier else "AutoModelForCausalLM",
    )
    judge: Judge
    if is_classifier:
        assert settings.complied_label is not None, "the configuration asks for it"
        judge = models.ClassifierJudge(
            checkpoint, complied_label=settings.complied_label, template=template, device=device
        )
    else:
        judge = models.InstructJudge(
            checkpoint, answer=settings.answer, template=template, device=device
        )
    judge.sha256 = judge_sha256(checkpoint, settings)
    _try(judge)
    return judge


def judge_sha256(checkpoint: Checkpoint, settings: JudgeSettings) -> str:
    """Hash of all that decides a judge's verdicts: weights, small files, template."""
    template = () if settings.template is None else (named_file(settings.template),)
    small = sha256_of_small({**checkpoint.small_files, "template": template})
    return hashlib.sha256(f"{checkpoint.sha256} {small}".encode()).hexdigest()


def _try(judge: Judge) -> None:
    try:
        judge.complied_all([_TRIAL])
    except AuditError as error:
        raise AuditError(f"Asked a trial exchange: {error}") from error
    except Exception as error:
        # The judge's own model and template, on a text that every judge must be able to read.
        raise AuditError(
            f"The judge {judge.name} cannot be asked ({type(error).__name__}: "
            f"{shown((str(error).strip() or 'no reason given').splitlines()[0])}); give another "
            "(judge.model), or check its template (judge.template)."
        ) from error
