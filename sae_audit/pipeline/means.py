"""Mean residuals of the training prompts, which every audit leaves, with or without a direction."""

from zlib import crc32

import numpy as np
from jaxtyping import Float

from sae_audit.findings.stages import MEANS, MEANS_BY_GROUP
from sae_audit.pipeline.session import Session
from sae_audit.prompts.types import LabelledPrompts, Prompt
from sae_audit.record.folder import write_tensors

_GROUPS = 10
"""Number of groups of prompts: enough for an interval, few enough for a large model's record."""


def record_means(
    session: Session, train: LabelledPrompts
) -> tuple[
    Float[np.ndarray, "layer template d_model"], Float[np.ndarray, "layer template d_model"]
]:
    """Mean residuals of harmful and of harmless prompts, also written to the run's folder with those of
    groups of prompts, from which a comparison takes the certainty of its differences."""
    means: dict[str, np.ndarray] = {}
    by_group: dict[str, np.ndarray] = {}
    for label, prompts in (("harmful", train.harmful), ("harmless", train.harmless)):
        groups = [_group(prompt) for prompt in prompts]
        own = session.subject.group_means(prompts, groups, n_groups=_GROUPS)
        counts = np.bincount(groups, minlength=_GROUPS)
        means[label] = np.tensordot(counts / counts.sum(), own, axes=1)
        by_group |= {label: own.astype(np.float32), f"n_{label}": counts}
    write_tensors(session.folder, MEANS, means)
    write_tensors(session.folder, MEANS_BY_GROUP, by_group)
    return means["harmful"], means["harmless"]


def _group(prompt: Prompt) -> int:
    """Group of a prompt, by the prompt alone: the same in every checkpoint's means."""
    return crc32(prompt.id.encode()) % _GROUPS
