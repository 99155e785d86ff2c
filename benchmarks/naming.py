"""How often graphs name pairs: by chance, through one curve alone, and where pairs are planted.

`uv run python -m benchmarks.naming --graphs 100` prints, for set functions of 16 features
(`sae_audit.bench.games.read_out_game`) with normal noise, 256 masks a graph: the share of graphs that
predict and that name a pair (Wilson intervals), the share of planted pairs named with their kind, and
the number of other pairs named. `before` counts what the interval, the null and the lasso alone name.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sae_audit.bench.games import Build, read_out_game, redundant, shared_path
from sae_audit.findings import InteractionGraph, PairInteraction, PairKind
from sae_audit.interactions.fit import interactions
from sae_audit.interactions.solver import Hyperparameters
from sae_audit.pages.wording import interval
from sae_audit.statistics import share
from sae_audit.vocabulary import FeatureSet

_PLAYERS = 16
_PLANTED: tuple[tuple[str, Build | None], ...] = (
    ("none", None),
    ("2 redundant", redundant),
    ("2 on a shared path", shared_path),
)
# The factorization machines stand beside; choosing theirs again would take most of the time.
_FIXED = Hyperparameters(rank=4, l2=5.0, coding="plus_minus")


@dataclass(frozen=True, kw_only=True)
class _Counted:
    predicts: bool
    before: int
    named: int
    right: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=100, help="graphs of every kind")
    parser.add_argument("--masks", type=int, default=256)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.3], help="deviation, nats")
    asked = parser.parse_args()
    print(
        "| planted | read-out | noise | graphs that predict | graphs naming, before | graphs naming "
        "| planted pairs named | others named |\n|---|---|---|---|---|---|---|---|"
    )
    for planted, kind in _PLANTED:
        for saturated in (False, True):
            for noise in asked.noise:
                found = [
                    _graph(kind, saturated, noise, asked.masks, seed)
                    for seed in range(asked.graphs)
                ]
                print(_row(planted, saturated, noise, found), flush=True)


def _row(planted: str, saturated: bool, noise: float, found: Sequence[_Counted]) -> str:
    n = len(found)
    pairs = interval(share(sum(one.right for one in found), 2 * n)) if planted != "none" else "-"
    cells = [
        planted,
        "one curve" if saturated else "none",
        f"{noise}",
        interval(share(sum(one.predicts for one in found), n)),
        interval(share(sum(one.before > 0 for one in found), n)),
        interval(share(sum(one.named > 0 for one in found), n)),
        pairs,
        f"{sum(one.named - one.right for one in found)}",
    ]
    return f"| {' | '.join(cells)} |"


def _graph(kind: Build | None, saturated: bool, noise: float, n_masks: int, seed: int) -> _Counted:
    game = read_out_game(_PLAYERS, seed, kind=kind, n_pairs=2 if kind else 0, saturated=saturated)
    random = np.random.default_rng([seed, 6])

    def score(sets: Sequence[FeatureSet]) -> np.ndarray:
        return game(sets) + noise * random.normal(size=len(sets))

    graph = interactions(
        [score],
        game.players,
        scope="",
        n_masks=n_masks,
        seed=seed,
        solver="walsh",
        n_shuffles=20,
        hyperparameters=_FIXED,
    )
    planted = {frozenset(g.members) for g in game.gadgets if len(g.members) == 2}
    wanted = PairKind.REDUNDANT if kind is redundant else PairKind.SHARED_PATH
    place = {player: i for i, player in enumerate(game.players)}
    right = [
        pair
        for pair in graph.named
        if frozenset([place[pair.a], place[pair.b]]) in planted and pair.kind is wanted
    ]
    return _Counted(
        predicts=graph.predicts,
        before=sum(_named_before(pair, graph) for pair in graph.pairs),
        named=len(graph.named),
        right=len(right),
    )


def _named_before(pair: PairInteraction, graph: InteractionGraph) -> bool:
    assert graph.null_weight is not None, "a fit without its chance level"
    clear = abs(pair.weight) > graph.null_weight and not pair.low <= 0.0 <= pair.high
    return clear and pair.lasso is not None and pair.lasso * pair.weight > 0.0


if __name__ == "__main__":
    main()
