"""How well each method finds planted pairs: methods x games x players, within 40 sets a player.

`uv run python -m benchmarks.interactions --players 12 24 50` prints the table of
docs/performance.md. Scores are free of noise; truth is exact. AUROC and AUPRC (average precision) are of
redundant pairs and of pairs on a shared path among all pairs, by signed weight; `-` where the game
has no such pair, or nothing else.
"""

import argparse
from collections.abc import Sequence
from statistics import fmean

from sae_audit.bench.games import GAMES, planted_game
from sae_audit.bench.pair_methods import PAIR_METHODS
from sae_audit.bench.pair_metrics import Detection, detections

_SETS_A_PLAYER = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--players", type=int, nargs="+", default=[12, 24, 50, 100, 200])
    parser.add_argument("--games", nargs="+", choices=GAMES, default=list(GAMES))
    parser.add_argument("--methods", nargs="+", choices=PAIR_METHODS, default=list(PAIR_METHODS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sets", type=int, default=_SETS_A_PLAYER, help="sets scored a player")
    asked = parser.parse_args()
    print(
        "| players | game | method | AUROC redundant | AUROC shared path | AUPRC redundant "
        "| AUPRC shared path | sets | seconds |\n|---|---|---|---|---|---|---|---|---|"
    )
    for n_players in asked.players:
        for game in asked.games:
            for method in asked.methods:
                print(_row(n_players, game, method, asked.seeds, asked.sets), flush=True)


def _row(n_players: int, name: str, method: str, n_seeds: int, sets: int) -> str:
    found: list[tuple[Detection, Detection]] = []
    scored: list[float] = []
    seconds: list[float] = []
    for seed in range(n_seeds):
        game = planted_game(name, n_players, seed)
        answer = PAIR_METHODS[method](game, game.players, budget=sets * n_players, seed=seed)
        found.append(detections(answer.weights, game.truth))
        scored.append(answer.n_sets_scored)
        seconds.append(answer.seconds)
    redundant, shared = zip(*found, strict=True)
    cells = [
        _mean([one.auroc for one in redundant]),
        _mean([one.auroc for one in shared]),
        _mean([one.auprc for one in redundant]),
        _mean([one.auprc for one in shared]),
    ]
    measured = " | ".join(cells)
    return (
        f"| {n_players} | {name} | {method} | {measured} | {fmean(scored):.0f} "
        f"| {fmean(seconds):.1f} |"
    )


def _mean(values: Sequence[float | None]) -> str:
    defined = [value for value in values if value is not None]
    return f"{fmean(defined):.3f}" if defined else "-"


if __name__ == "__main__":
    main()
