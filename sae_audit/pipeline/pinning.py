"""Settings with every branch replaced by its commit, so that they repeat a run exactly."""

import re
from collections.abc import Mapping, Sequence

from sae_audit.bundled import PREFIX
from sae_audit.config import OTHER_LAYERS, AuditConfig, EvidenceSettings
from sae_audit.prompts.sources import OpenedSource
from sae_audit.subject import Subject
from sae_audit.subject.model.precision import OWN
from sae_audit.subject.saes.sae import Sae

_COMMIT = re.compile(r"[0-9a-f]{40}")
_AT_COMMIT = re.compile(r"@[0-9a-f]{40}(?=$|[:?])")


def pinned(
    config: AuditConfig,
    subject: Subject,
    sources: Sequence[OpenedSource],
    null_saes: Sequence[Mapping[int, Sae]],
) -> AuditConfig:
    """The settings with models, SAEs and prompts of the hub at the commits that were read.

    Local folders and files have no commits; the record holds their hashes instead.
    """
    changes: dict[str, object] = {}
    identity = subject.identity
    if identity.revision:
        changes["model"] = config.model.partition("@")[0]
        changes["revision"] = identity.revision
    if config.adapter is not None and identity.adapter_revision:
        changes["adapter"] = at_commit(config.adapter, identity.adapter_revision)
    chose = identity.dtype_reason not in ("", OWN) and config.quantization is None
    if config.dtype == "auto" and chose:
        # It depended on the free memory; a resumed run must not choose again.
        changes["dtype"] = identity.dtype
    commits = {sae.revision for sae in subject.suite.values() if sae.revision}
    assert len(commits) <= 1, f"SAEs of several commits: {commits}"
    if commits:
        changes["saes"] = at_commit(config.saes, commits.pop())
    changes["evidence"] = _evidence(
        config,
        [
            asked.saes if asked.saes == OTHER_LAYERS else at_commit(asked.saes, _commit(suite))
            for asked, suite in zip(config.evidence.null_saes, null_saes, strict=True)
        ],
    )
    named = tuple(at_commit(source.name, source.revision) for source in sources)
    changes["prompts"] = config.prompts.model_copy(update={"sources": named})
    return config.model_copy(update=changes)


def _commit(suite: Mapping[int, Sae]) -> str:
    """The commit that SAEs were read at; empty if they are no repository's."""
    commits = {sae.revision for sae in suite.values()}
    assert len(commits) == 1, f"SAEs of several commits: {commits}"
    return commits.pop()


def _evidence(config: AuditConfig, names: Sequence[str]) -> EvidenceSettings:
    """The settings of evidence, with the user's null SAEs under these names."""
    asked = config.evidence.null_saes
    renamed = tuple(
        one.model_copy(update={"saes": name}) for one, name in zip(asked, names, strict=True)
    )
    return config.evidence.model_copy(update={"null_saes": renamed})


def resumed(config: AuditConfig, begun: AuditConfig) -> AuditConfig:
    """The settings at the commits with which an earlier run of the same settings was begun.

    A branch may have moved since; a run is resumed, or read back, as it was begun. If the settings
    differ in more than such commits, `config` is returned unchanged.
    """
    names = config.model_dump(exclude=_FREE)
    unpinned_begun = _without_commits(begun)
    if config.dtype == "auto":
        unpinned_begun = unpinned_begun.model_copy(update={"dtype": "auto"})
    if unpinned_begun.model_dump(exclude=_FREE) != names:
        return config
    return begun.model_copy(update={name: getattr(config, name) for name in _FREE})


_FREE = {"tokens_per_batch", "name", "trust_remote_code"}
"""Settings that a resumed run takes anew: no file's to say, or free."""


def _without_commits(config: AuditConfig) -> AuditConfig:
    sources = tuple(unpinned(source) for source in config.prompts.sources)
    changes: dict[str, object] = {
        "saes": unpinned(config.saes),
        "prompts": config.prompts.model_copy(update={"sources": sources}),
        "evidence": _evidence(config, [unpinned(one.saes) for one in config.evidence.null_saes]),
    }
    if config.revision is not None and _COMMIT.fullmatch(config.revision):
        changes["revision"] = None
    if config.adapter is not None:
        changes["adapter"] = unpinned(config.adapter)
    return config.model_copy(update=changes)


def unpinned(location: str) -> str:
    """The location without its commit; with its branch or tag."""
    return _AT_COMMIT.sub("", location, count=1)


def at_commit(location: str, commit: str) -> str:
    """`NAME[@REVISION][:PART][?OPTIONS]` at `commit`; unchanged if `commit` is empty."""
    if not commit or location.startswith(PREFIX):
        return location
    head, question, options = location.partition("?")
    name, colon, part = head.partition(":")
    return f"{name.partition('@')[0]}@{commit}{colon}{part}{question}{options}"
