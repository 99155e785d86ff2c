"""The words of a run's prompts, which no record holds: from the sources that the audit read."""

from typing import TYPE_CHECKING

from sae_audit.errors import AuditError

if TYPE_CHECKING:
    from sae_audit.record.run import Run


def texts_of(run: "Run") -> dict[str, str]:
    """The words of the run's prompts by id.

    Raises:
        AuditError: a source is missing, or another than the run's.
    """
    from sae_audit.hashing import sha256_of_files
    from sae_audit.prompts.sources import kept_sources

    recorded = [source.sha256 for source in run.manifest.prompt_sources]
    sources = kept_sources(run.config.prompts.sources)
    if [sha256_of_files(source.files) for source in sources] != recorded:
        raise AuditError(
            "The prompts here are not those of the run, so their words cannot be added; leave "
            "--with-texts out, or put the run's own files back."
        )
    return {prompt.id: prompt.text for source in sources for prompt in source.prompts}
