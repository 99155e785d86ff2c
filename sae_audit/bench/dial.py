"""The redundancy dial: whole audits of organisms trained to refuse without their direction."""

from pathlib import Path

from sae_audit.bench.cases import Told
from sae_audit.bench.results import DialRow
from sae_audit.bundled import PREFIX
from sae_audit.config import AuditConfig, InteractionSettings, MinimalSettings, PromptSettings
from sae_audit.errors import AuditError
from sae_audit.organisms.trained.measured import redundancy
from sae_audit.pipeline.audit import audit

_SETTINGS = range(4)


def dial_rows(trained: Path, out: Path, told: Told) -> tuple[DialRow, ...]:
    """Audit `dial_0` to `dial_3` of a folder that `sae_audit.organisms.trained` has made.

    Runs are kept in `out`; finished ones are read back.

    Raises:
        AuditError: a setting is missing in the folder.
    """
    folders = [trained / f"dial_{rounds}" for rounds in _SETTINGS]
    for folder in folders:
        if not (folder / "card.json").is_file():
            raise AuditError(
                f"{folder} holds no trained organism; make them: python -m "
                f"sae_audit.organisms.trained make {trained}"
            )
    rows: list[DialRow] = []
    for rounds, folder in zip(_SETTINGS, folders, strict=True):
        told(f"dial {rounds}", rounds, len(folders))
        found = redundancy(audit(_config(folder), out / folder.name))
        measures = {
            "depth": found.depth,
            "waves of the minimal set": found.depth_of_minimal,
            "size of the minimal set": found.minimal_size,
            "dormant in the minimal set": found.dormant_in_minimal,
            "flipped": found.flipped,
        }
        rows.append(DialRow(rounds=rounds, measures=measures))
    told("dial", len(folders), len(folders))
    return tuple(rows)


def _config(folder: Path) -> AuditConfig:
    return AuditConfig(
        model=str(folder / "model"),
        saes=str(folder / "saes"),
        prompts=PromptSettings(sources=(f"{PREFIX}organism/prompts.jsonl",)),
        refusal_tokens=("I", "Sorry"),
        # What the dial is not measured by is kept short.
        minimal=MinimalSettings(more_sets_budget=0),
        interactions=InteractionSettings(n_masks=64, max_players=4),
    )
