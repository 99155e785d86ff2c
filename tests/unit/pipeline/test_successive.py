"""Filters of directions that back others up."""

from sae_audit.config import DirectionSettings
from sae_audit.direction.selection import select_direction
from sae_audit.findings import DirectionEvaluation
from sae_audit.pipeline.stages.successive_directions import settings_behind


def test_a_backup_need_not_make_refuse_but_must_be_about_refusal():
    settings = DirectionSettings(kl_limit=0.1, induce_floor=0.0, layer_cut=0.2)
    behind = settings_behind(settings, halfway=-3.0)
    waiting = DirectionEvaluation(position=-1, layer=1, bypass=-2.0, induce=-2.0, kl=0.01)
    blurring = DirectionEvaluation(position=-1, layer=2, bypass=-4.0, induce=-9.0, kl=0.01)
    harmful = DirectionEvaluation(position=-1, layer=2, bypass=-5.0, induce=3.0, kl=0.5)

    def chosen(by: DirectionSettings) -> object:
        return select_direction(
            [waiting, blurring, harmful],
            10,
            kl_limit=by.kl_limit,
            induce_floor=by.induce_floor,
            layer_cut=by.layer_cut,
        ).evaluation

    assert chosen(behind) is waiting
    assert chosen(settings) is not waiting
    assert settings_behind(settings, halfway=2.0) == settings, "never stricter than the first"
