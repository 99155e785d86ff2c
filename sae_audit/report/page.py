"""Record in, page out: one self-contained `index.html`, and no number computed anew."""

from collections import Counter
from pathlib import Path
from typing import Any

from sae_audit.config import AuditConfig
from sae_audit.findings import PairInteraction, PairKind
from sae_audit.pages.charts import SET_LABELS
from sae_audit.pages.document import document
from sae_audit.record.run import Run
from sae_audit.report import figures, figures_deep
from sae_audit.report.limits import limits
from sae_audit.report.summary import summary
from sae_audit.statistics import share

_SHOWN_PAIRS = 40


def write_page(run: Run) -> Path:
    """Write the report of a finished run into its folder and return its path."""
    page = run.folder / "index.html"
    page.write_text(render(run), encoding="utf-8")
    return page


def render(run: Run) -> str:
    return document(
        "sae_audit.report",
        "page.html.j2",
        _figures(run),
        run=run,
        rows=summary(run),
        limits=limits(run),
        behaviour=_behaviour(run),
        clear_pairs=_clear_pairs(run),
        kinds=_kinds(run),
        wakers=_wakers(run),
        deviations=deviations(run.config),
        labels=SET_LABELS,
        by_id={score.prompt_id: score for score in run.scores},
    )


def _figures(run: Run) -> dict[str, Any]:
    found = {
        "behaviour": figures.behaviour(run.scores),
        "direction": figures.direction(run.direction),
        "candidates": figures.candidates(run.candidates),
        "minimal_sets": figures.minimal_sets(run.minimal_sets),
    }
    if any(one.flipped for one in run.minimal_sets):
        found["frequency"] = figures.frequency(run.minimal_sets)
    for name, controls in (
        ("per_prompt", run.controls.per_prompt),
        ("pooled", run.controls.pooled),
    ):
        if controls:
            rows = [(control.name, control.flipped) for control in controls]
            found[name] = figures.set_bars(rows, "share of prompts flipped")
    if run.controls.collateral:
        rows = [(one.name, one.kl) for one in run.controls.collateral]
        found["collateral"] = figures.set_bars(rows, "KL on harmless prompts (nats)")
    for graph in run.interactions:
        if graph.scope == "pooled" and graph.pairs:
            found["pairs"] = figures_deep.pair_weights(graph)
    if any(graph.fits for graph in run.interactions):
        found["r_squared"] = figures_deep.r_squared(run.interactions)
    if run.cascades:
        found["waves"] = figures_deep.waves(run.cascades)
    return found


def _behaviour(run: Run) -> list[dict[str, Any]]:
    """Refusals by label and category of the audit prompts, with Wilson intervals."""
    audited = [score for score in run.scores if score.split == "audit"]
    groups = sorted({(score.label, score.category) for score in audited})
    rows: list[dict[str, Any]] = []
    for label, category in groups:
        chosen = [s for s in audited if (s.label, s.category) == (label, category)]
        n_refused = sum(s.score > 0.0 for s in chosen)
        rows.append(
            {
                "label": label,
                "category": category or "(none)",
                "refused": n_refused,
                "n": len(chosen),
                "share": share(n_refused, len(chosen)),
            }
        )
    return rows


def _clear_pairs(run: Run) -> list[PairInteraction]:
    pooled = [graph for graph in run.interactions if graph.scope == "pooled"]
    pairs = [p for graph in pooled for p in graph.pairs if p.kind != PairKind.UNCLEAR]
    return pairs[:_SHOWN_PAIRS]


def _kinds(run: Run) -> dict[str, int]:
    prompts = [graph for graph in run.interactions if graph.scope != "pooled"]
    counts = Counter(pair.kind for graph in prompts for pair in graph.pairs)
    return {kind.value: counts[kind] for kind in PairKind}


def _wakers(run: Run) -> list[dict[str, Any]]:
    """The dormant features that join waves most often, and who wakes them."""
    wakes = [wake for found in run.cascades for wave in found.waves for wake in wave.wakes]
    counts = Counter(wake.feature for wake in wakes).most_common(15)
    rows: list[dict[str, Any]] = []
    for feature, n in counts:
        own = [wake for wake in wakes if wake.feature == feature]
        causes = Counter(cause for wake in own for cause in wake.woken_by)
        effects = sorted(wake.effect for wake in own)
        rows.append(
            {
                "feature": feature,
                "n": n,
                "effect": effects[len(effects) // 2],
                "woken_by": [f"{cause} ({m})" for cause, m in causes.most_common(4)],
            }
        )
    return rows


def deviations(config: AuditConfig) -> list[tuple[str, Any, Any]]:
    """Settings that differ from their defaults: name, value, default."""
    found: list[tuple[str, Any, Any]] = []
    for name, field in AuditConfig.model_fields.items():
        if name in {"model", "saes", "name"}:
            continue
        value = getattr(config, name)
        if hasattr(value, "model_fields"):
            for inner, inner_field in type(value).model_fields.items():
                if inner != "sources" and getattr(value, inner) != inner_field.default:
                    found.append((f"{name}.{inner}", getattr(value, inner), inner_field.default))
        elif value != field.default:
            found.append((name, value, field.default))
    return found
