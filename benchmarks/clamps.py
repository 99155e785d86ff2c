"""What an ablated feature is set to: flips at equal KL on harmless prompts, clamp by clamp.

`uv run python -m benchmarks.clamps` audits planted models and the bundled organism, up to their
candidates and at every clamp, each widened and searched as its audit would. A prompt is flipped at a
budget of KL if one of the searches (without limits, and within each budget) ended at a set that flips it
and costs harmless prompts no more. Printed are shares of refused prompts and, against the first clamp,
the difference: Tango's interval over prompts of one model, a t interval over planted models.
`--trained 2` adds Llamas trained here (`organisms.two_classes`), which take many times as long.

    uv run python -m benchmarks.clamps --seeds 0 --audits MY/config.yaml    # other models
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from sae_audit.bench.cases import Case, cases, planted_audit
from sae_audit.bench.results import kind_of_sae
from sae_audit.config import AuditConfig, SideEffectSettings
from sae_audit.findings import Estimate
from sae_audit.minimal.asking import answered
from sae_audit.minimal.limited import limited_set
from sae_audit.minimal.search import minimal_set
from sae_audit.organisms.chats import REFUSAL_TOKENS
from sae_audit.organisms.mechanismless import ORGANISM_PROMPTS
from sae_audit.organisms.planted.carriers import raised
from sae_audit.organisms.planted.families import FAMILIES
from sae_audit.organisms.planted.plant import audit_settings, plant
from sae_audit.organisms.planted.weights import ARCHITECTURES
from sae_audit.organisms.two_classes import write_two_classes
from sae_audit.pages.wording import interval
from sae_audit.pipeline.running import unpublished
from sae_audit.pipeline.side_effects import HarmlessChanges
from sae_audit.pipeline.stages import candidates, direction, scores, widening
from sae_audit.pipeline.state import AuditState
from sae_audit.presets import build_config
from sae_audit.prompts.types import Prompt
from sae_audit.statistics import mean, share_difference
from sae_audit.vocabulary import FeatureSet

BUDGETS = (0.00003, 0.0001, 0.0003, 0.001, 0.01, 0.1)
"""Nats; the last is the default of `side_effects.kl_limit`."""
NO_BUDGET = np.inf
_RAISED = 6
"""Models whose refusal is how much their dense features fire."""
_PROMPTS = 4
"""Audited prompts of each label of a planted model."""


@dataclass(frozen=True, kw_only=True)
class Flips:
    """The sets that flip each refused prompt of one model at one clamp."""

    found: Mapping[str, tuple[tuple[FeatureSet, float], ...]]
    """By prompt, each set with the mean KL (nats) that ablating it costs on harmless prompts."""

    def at(self, budget: float) -> dict[str, bool]:
        """By prompt, whether a set that costs no more flips it."""
        return {prompt: any(kl <= budget for _, kl in sets) for prompt, sets in self.found.items()}

    @property
    def share_unlimited(self) -> float:
        return float(np.mean(list(self.at(NO_BUDGET).values())))

    @property
    def median_cost(self) -> float:
        """Over flipped prompts, the least KL of a set that flips it; NaN if none is flipped."""
        least = [min(kl for _, kl in sets) for sets in self.found.values() if sets]
        return float(np.median(least)) if least else float("nan")

    @property
    def median_size(self) -> float:
        """Number of features of that set."""
        sizes = [len(min(sets, key=lambda one: one[1])[0]) for sets in self.found.values() if sets]
        return float(np.median(sizes)) if sizes else float("nan")


def flips_of(state: AuditState) -> Flips:
    """The sets that searches end at, at the state's clamp."""
    changes, settings = HarmlessChanges(state), state.config.minimal

    def sets_of(prompt: Prompt) -> tuple[tuple[FeatureSet, float], ...]:
        score = state.score_of(prompt)
        orders = state.search_orders(prompt, state.pools[prompt.id])
        unlimited, _ = answered(minimal_set(prompt.id, orders, settings), score)
        costs: dict[FeatureSet, float] = {}
        for budget in (NO_BUDGET, *sorted(BUDGETS, reverse=True)):
            if budget == NO_BUDGET:
                found = unlimited
            elif any(kl <= budget for kl in costs.values()):
                continue
            else:
                only_kl = SideEffectSettings(kl_limit=budget, first_tokens_limit=1.0)
                limits = replace(changes.limits, settings=only_kl)
                found, _ = answered(limited_set(unlimited, orders, settings, limits), score)
            if found.flipped:
                features = frozenset(found.features)
                costs[features] = float(changes.means([features])[0, 0])
        return tuple(costs.items())

    return Flips(found={prompt.id: sets_of(prompt) for prompt in state.refused})


Opening = Callable[[str | float], AbstractContextManager[AuditState]]
"""Opens a model's audit, up to its candidates, at a clamp."""


def difference(first: Flips, second: Flips, budget: float) -> Estimate:
    """Share of prompts flipped within the budget by the second, less that by the first."""
    a, b = first.at(budget), second.at(budget)
    prompts = sorted(a.keys() | b.keys())
    gained = sum(b[p] and not a[p] for p in prompts)
    lost = sum(a[p] and not b[p] for p in prompts)
    return share_difference(gained, lost, len(prompts))


def over_models(pairs: Sequence[tuple[Flips, Flips]], budget: float) -> Estimate:
    """The mean over models of each one's difference."""
    return mean([difference(first, second, budget).value for first, second in pairs])


def measured(opening: Opening, clamps: Sequence[str | float]) -> list[Flips]:
    found: list[Flips] = []
    for clamp in clamps:
        with opening(clamp) as state:
            found.append(flips_of(state))
    return found


def _cases(n: int) -> list[Case]:
    """The smallest models of every family, `n` of each; of a family that is a kind of its own all sizes,
    three times as many of each, since intervals are by kind."""
    found: list[Case] = []
    # The largest family is of circuits with too many minimal sets to list, and takes minutes.
    for family in [family for family in FAMILIES if family != "many_pairs"] if n else []:
        own = cases([family], n_seeds=3 * n, quick=False)
        found += own if kind_of_sae(own[0]) != "perfect SAE" else own[:n]
    return found


def _planted(case: Case) -> Opening:
    @contextmanager
    def opening(clamp: str | float):
        with planted_audit(case, n_prompts=_PROMPTS, clamp=clamp) as audit:
            yield audit.state

    return opening


def raised_audit(seed: int) -> Opening:
    """A planted model whose refusal is how much its dense features fire."""

    @contextmanager
    def opening(clamp: str | float):
        with TemporaryDirectory() as folder:
            architecture = ARCHITECTURES[seed % len(ARCHITECTURES)]
            made = plant(raised(3, seed), Path(folder) / "planted", architecture=architecture)
            settings = {**audit_settings(made), "clamp": clamp}
            settings["prompts"] = {**settings["prompts"], "audit": _PROMPTS}
            with _to_candidates(AuditConfig.model_validate(settings)) as state:
                yield state

    return opening


@contextmanager
def _to_candidates(config: AuditConfig) -> Iterator[AuditState]:
    with TemporaryDirectory() as folder, unpublished(config, Path(folder) / "run") as state:
        for stage in (scores, direction, candidates, widening):
            stage.run(state)
        yield state


def _audited(target: str | None, options: Mapping[str, Any], settings: Sequence[str]) -> Opening:
    @contextmanager
    def opening(clamp: str | float):
        config = build_config(target, {**options, "clamp": clamp}, settings)
        with _to_candidates(config) as state:
            yield state

    return opening


def _said(budget: float) -> str:
    return "any" if budget == NO_BUDGET else f"{budget:g}"


def _print(
    name: str,
    clamps: Sequence[str | float],
    by_model: Sequence[Sequence[Flips]],
    compared: Callable[[int, float], Estimate],
) -> None:
    """Rows of one group of models: by clamp, its sets, and flips by budget."""
    for i, clamp in enumerate(clamps):
        own = [model[i] for model in by_model]
        costs = float(np.nanmedian([one.median_cost for one in own]))
        sizes = float(np.nanmedian([one.median_size for one in own]))
        cells: list[str] = []
        for budget in (*BUDGETS, NO_BUDGET):
            flipped = float(np.mean([np.mean(list(one.at(budget).values())) for one in own]))
            beside = f" ({interval(compared(i, budget), '{:+.2f}'.format)})" if i else ""
            cells.append(f"{flipped:.2f}{beside}")
        n = sum(len(one.found) for one in own)
        row = [name, str(clamp), f"{len(own)}, {n}", f"{sizes:g}", f"{costs:.5f}", *cells]
        print("| " + " | ".join(row) + " |", flush=True)


def _clamp(text: str) -> str | float:
    return text if text == "harmless_mean" else float(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clamps", nargs="+", type=_clamp, default=[0.0, "harmless_mean"])
    parser.add_argument("--seeds", type=int, default=1, help="planted models of each family")
    parser.add_argument("--audits", nargs="*", default=["organism"], help="presets, config files")
    parser.add_argument("--trained", type=int, default=0, help="Llamas trained here")
    parser.add_argument("--set", nargs="*", default=[], help="settings of these audits")
    asked = parser.parse_args()
    heads = ("models", "clamp", "models, prompts", "features of the cheapest set", "its KL")
    columns = [*heads, *(f"flipped at KL {_said(budget)}" for budget in (*BUDGETS, NO_BUDGET))]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|", flush=True)
    by_kind: dict[str, list[list[Flips]]] = {}
    for case in _cases(asked.seeds):
        by_kind.setdefault(kind_of_sae(case), []).append(measured(_planted(case), asked.clamps))
    if asked.seeds:
        by_kind["how much dense features fire"] = [
            measured(raised_audit(seed), asked.clamps) for seed in range(_RAISED)
        ]
    for kind, models in by_kind.items():
        _print(
            f"planted, {kind}",
            asked.clamps,
            models,
            lambda i, budget, models=models: over_models([(m[0], m[i]) for m in models], budget),
        )
    audits = [(target, _audited(target, {}, asked.set)) for target in asked.audits]
    with TemporaryDirectory() as made:
        for seed in range(asked.trained):
            folder = Path(made) / str(seed)
            write_two_classes(folder, seed=seed)
            options = {
                "model": str(folder / "model"),
                "saes": str(folder / "saes"),
                "prompts.sources": [ORGANISM_PROMPTS],
                "refusal_tokens": list(REFUSAL_TOKENS),
            }
            audits.append((f"two classes, seed {seed}", _audited(None, options, asked.set)))
        for name, opening in audits:
            found = measured(opening, asked.clamps)
            _print(name, asked.clamps, [found], lambda i, b, f=found: difference(f[0], f[i], b))


if __name__ == "__main__":
    main()
