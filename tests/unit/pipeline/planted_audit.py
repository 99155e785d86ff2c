"""An audit of seconds, of a model whose circuit is planted: every stage runs."""

from pathlib import Path

from sae_audit.config import AuditConfig
from sae_audit.organisms.planted.families import build
from sae_audit.organisms.planted.plant import audit_settings, plant

SMALL = {
    "candidates": {"per_layer": 3},
    "interactions": {"n_masks": 64, "max_players": 3},
    "controls": {"random_sets": 1, "random_directions": 2},
    "minimal": {"more_sets_budget": 6},
    "ablation_scale": {"grid": 2},
    "cascade": {
        "max_waves": 2,
        "max_tested": 4,
        "edge_features": 2,
        "edge_controls": 1,
        "stand_in_sets": 2,
        "stand_in_tests": 2,
        "same_score_prompts": 1,
    },
    "evidence": {"null_dictionaries": 1},
    "side_effects": {"prompts": 8},
    "confirm": "text",
    "answer_tokens": 2,
    "device": "cpu",
}


def planted_config(folder: Path, *, n_prompts: int = 16, **changes: object) -> AuditConfig:
    """The audit of a model that is planted in `folder`."""
    made = plant(build("backups", 2, seed=1), folder, architecture="llama", n_prompts=n_prompts)
    settings = audit_settings(made)
    settings["prompts"] |= {"train": 4, "validation": 4, "audit": 4}
    return AuditConfig.model_validate({**settings, **SMALL, **changes})
