"""How much an audit does, stage by stage, in units that can be timed one by one.

Fixed stages are counted exactly as the stages ask. Searches and cascades depend on what they find:
there the numbers assume minimal sets of three features, two waves, and that two thirds of the sets
asked about change something, from half of the prompt on. They say so.
"""

import math
from dataclasses import dataclass

from sae_audit.config import AuditConfig
from sae_audit.findings import CE_PROMPTS, CE_TOKENS
from sae_audit.planning.facts import SubjectFacts

_SET_SIZE = 3
_WAVES = 2
_DISTINCT = 0.65
"""Share of the sets in which some feature fires, and that no other set shares; the rest cost nothing.
On the bundled organism .73, on a random model of Gemma-2-2B's shape .59."""
_DISTINCT_FAMILIES = 0.87
"""The same where other minimal sets are looked for: sets of nearly all candidates. On the organism."""
_CHANGED = 0.6
"""Share of a prompt's positions from the first that an ablation changes."""
_WAKES_TESTED = 0.5
"""Share of `cascade.max_tested` that a wave tests: only features that push to refuse are."""
_COLLATERAL_TOKENS = 16
_BACKWARD = 2.0
"""A backward pass costs about two forward ones."""
_TOLD_APART = 32
"""Prompts answered to find the refusal tokens of an unknown family."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one stage does."""

    stage: str
    forward_passes: float
    layer_tokens: float = 0.0
    """Tokens through one decoder layer each, in whole passes of several prompts."""
    alone_layer_tokens: float = 0.0
    """The same in passes of one prompt."""
    swept_layer_tokens: float = 0.0
    """The same in sweeps, where questions share what they can."""
    edited_layer_tokens: float = 0.0
    """Of the former, those in which a direction is projected out on the way."""
    heads: float = 0.0
    """Distributions over the vocabulary, in whole passes."""
    swept_heads: float = 0.0
    """The same in sweeps."""
    encoded: float = 0.0
    """Features times tokens that are encoded, or decoded, with whole SAEs."""
    alone_encoded: float = 0.0
    """The same, one prompt at a time."""
    steps: float = 0.0
    """Steps of writing answers, one batch through all layers each."""
    fits: float = 0.0
    """Interaction graphs fitted."""
    assumed: str = ""


def work_of(config: AuditConfig, facts: SubjectFacts) -> list[Work]:
    """The work of every stage of an audit, in order."""
    counted = _Counting(config, facts)
    stages = [
        counted.scores(),
        counted.direction(),
        counted.direction_check(),
        counted.sae_quality(),
        counted.candidates(),
        counted.widening(),
        counted.minimal_sets(),
        *counted.families(),
        *counted.doses(),
        counted.dictionary_coverage(),
        counted.pooled_set(),
        counted.interactions(),
        counted.cascades(),
        counted.controls(),
    ]
    return stages + ([counted.confirmation()] if config.confirm == "text" else [])


class _Counting:
    def __init__(self, config: AuditConfig, facts: SubjectFacts) -> None:
        self.config, self.facts = config, facts
        self.tokens = facts.prompt_tokens
        self.n_layers = facts.n_layers
        sizes = config.prompts
        self.train, self.validation, self.audit = sizes.train, sizes.validation, sizes.audit
        self.above = self.n_layers - min(facts.saes)
        """Layers that a sweep from the lowest audited one runs."""
        self.features = sum(sae.width for sae in facts.saes.values())
        n = config.candidates.per_layer * len(facts.saes)
        kept = config.candidates.method == "cosine_attribution"
        self.n_candidates = min(n, config.candidates.keep) if kept else n

    def _whole(self, passes: float, tokens: float | None = None) -> float:
        return passes * (self.tokens if tokens is None else tokens) * self.n_layers

    def _swept(self, questions: float, share: float = 1.0) -> float:
        return questions * self.tokens * _CHANGED * self.above * share

    def _encoded(self, passes: float) -> float:
        return passes * self.tokens * self.features

    def scores(self) -> Work:
        n = 2 * (self.train + self.validation + self.audit)
        return Work(stage="scores", forward_passes=n, layer_tokens=self._whole(n), heads=n)

    def direction(self) -> Work:
        n_directions = self.n_layers * self.facts.template_tokens
        effects = 3 * self.validation * n_directions
        others = 2 * self.train + 3 * self.validation
        return Work(
            stage="direction",
            forward_passes=effects + others,
            layer_tokens=self._whole(effects + others),
            edited_layer_tokens=self._whole(2 * self.validation * n_directions),
            heads=effects + others,
        )

    def direction_check(self) -> Work:
        n_directions = 1 + self.config.controls.random_directions
        effects = 3 * self.audit * n_directions
        others = 2 * self.train + 3 * self.audit
        return Work(
            stage="direction_check",
            forward_passes=effects + others,
            layer_tokens=self._whole(effects + others),
            edited_layer_tokens=self._whole(2 * self.audit * n_directions),
            heads=effects + others,
        )

    def dictionary_coverage(self) -> Work:
        # Harmful prompts are read twice, harmless ones for their place and for their mean; the
        # reconstruction is replaced in one pass, whole parts of a direction in two for each.
        readings = 3 * self.audit + self.train
        replaced = self.audit * (3 + 2 * self.config.controls.random_directions)
        questions = _DISTINCT * self.audit * self.config.controls.random_sets
        return Work(
            stage="dictionary_coverage",
            forward_passes=readings + replaced + self.train + questions,
            layer_tokens=self._whole(readings + replaced + self.train),
            swept_layer_tokens=self._swept(questions),
            heads=readings + replaced + self.train,
            swept_heads=questions,
            encoded=self._encoded(2 * (readings + self.audit) + self.train),
        )

    def sae_quality(self) -> Work:
        n = 2 * self.audit
        n_ce = min(2 * CE_PROMPTS, n)
        with_more_above = [layer for layer in self.facts.saes if layer < self.n_layers - 1]
        longer = self.tokens + CE_TOKENS
        # Two streams branch off at each layer and run the layers above it.
        branched = sum(2 * n_ce * (self.n_layers - 1 - layer) for layer in with_more_above)
        return Work(
            stage="sae_quality",
            forward_passes=n + n_ce * (3 + 2 * len(with_more_above)),
            layer_tokens=self._whole(n + n_ce) + self._whole(2 * n_ce, longer) + branched * longer,
            heads=n,
            swept_heads=n_ce * CE_TOKENS * (2 + 2 * len(self.facts.saes)),
            encoded=2 * self._encoded(n) + 2 * n_ce * longer * self.features,
            steps=self.facts.batches(n_ce) * CE_TOKENS,
        )

    def candidates(self) -> Work:
        if self.config.candidates.method == "cosine":
            return Work(stage="candidates", forward_passes=0, encoded=float(self.features))
        return self._attribution("candidates", self.train)

    def _attribution(self, stage: str, prompts: int) -> Work:
        steps = self.config.attribution_steps
        points = 1 if steps == 1 else steps * len(self.facts.saes)
        return Work(
            stage=stage,
            forward_passes=prompts * points,
            alone_layer_tokens=self._whole(prompts * (1 + points * (1 + _BACKWARD))),
            alone_encoded=2 * self._encoded(prompts),
        )

    def widening(self) -> Work:
        # A clean pass and one with all candidates ablated; more only where that flips nothing.
        return Work(
            stage="widening",
            forward_passes=2 * self.audit,
            alone_layer_tokens=self._whole(self.audit),
            swept_layer_tokens=self._swept(self.audit),
            heads=self.audit,
            swept_heads=self.audit,
            assumed="all candidates together flip every prompt",
        )

    def minimal_sets(self) -> Work:
        n, m = max(self.n_candidates, 2), _SET_SIZE
        one_search = m * (math.log2(max(n / m, 1)) + 1)
        if self.config.minimal.search in ("greedy", "elimination"):
            one_search = float(n)
        both = self.config.minimal.order == "both"
        questions = _DISTINCT * self.audit * ((2 if both else 1) * one_search + m + 2)
        attributed = self.config.minimal.order != "candidates"
        own = self._attribution("", self.audit if attributed else 0)
        return Work(
            stage="minimal_sets",
            forward_passes=questions + own.forward_passes,
            alone_layer_tokens=own.alone_layer_tokens,
            swept_layer_tokens=self._swept(questions),
            heads=2 * self.audit,
            swept_heads=questions,
            alone_encoded=own.alone_encoded,
            assumed=f"sets of {m} features; two thirds of the sets asked about change something",
        )

    def families(self) -> list[Work]:
        budget = self.config.minimal.more_sets_budget
        if not budget:
            return []
        questions = _DISTINCT_FAMILIES * self.audit * budget
        attributed = self.config.minimal.order != "candidates"
        own = self._attribution("", self.audit if attributed else 0)
        return [
            Work(
                stage="minimal_set_families",
                forward_passes=questions + own.forward_passes,
                alone_layer_tokens=own.alone_layer_tokens,
                swept_layer_tokens=self._swept(questions),
                swept_heads=questions,
                alone_encoded=own.alone_encoded,
                assumed="no list of minimal sets is complete before the budget is spent",
            )
        ]

    def doses(self) -> list[Work]:
        settings = self.config.dose
        if not settings.grid:
            return []
        halvings = math.ceil(math.log2(max(1.0 / (settings.grid * settings.tolerance), 1.0)))
        questions = float(self.audit * (settings.grid - 1 + halvings))
        return [
            Work(
                stage="doses",
                forward_passes=questions,
                swept_layer_tokens=self._swept(questions),
                swept_heads=questions,
                assumed="every prompt is flipped by its candidates",
            )
        ]

    def pooled_set(self) -> Work:
        questions = _DISTINCT * self.audit * (_SET_SIZE + 1)
        return Work(
            stage="pooled_set",
            forward_passes=questions,
            swept_layer_tokens=self._swept(questions),
            swept_heads=questions,
            assumed=f"sets of {_SET_SIZE} features",
        )

    def interactions(self) -> Work:
        settings = self.config.interactions
        panel = min(settings.pooled_prompts, (self.audit + 1) // 2)
        prompts = self.audit + panel
        singles = _DISTINCT * prompts * self.n_candidates
        masks = _DISTINCT * prompts * settings.n_masks
        return Work(
            stage="interactions",
            forward_passes=singles + masks,
            # A single feature's ablation runs the layers above its own: half of them on average.
            swept_layer_tokens=self._swept(singles, 0.5) + self._swept(masks),
            swept_heads=singles + masks,
            fits=self.audit + 1,
            assumed="two thirds of the sets change something",
        )

    def cascades(self) -> Work:
        readings = self.audit * (2 + _WAVES * (2 + _SET_SIZE))
        tests = self.audit * (3 + _WAVES * _WAKES_TESTED * self.config.cascade.max_tested)
        return Work(
            stage="cascades",
            forward_passes=readings + tests,
            alone_layer_tokens=self._whole(readings),
            swept_layer_tokens=self._swept(tests),
            heads=readings,
            swept_heads=tests,
            alone_encoded=self._encoded(readings),
            assumed=f"{_WAVES} waves",
        )

    def controls(self) -> Work:
        others = self.config.controls.random_sets + 2
        questions = self.audit * others + (self.audit // 2) * (others + 1)
        if self.config.dose.grid:
            questions += self.audit * self.config.controls.random_sets
        harmless = self.audit * (others + 2)
        longer = self.tokens + _COLLATERAL_TOKENS
        error = 3 * self.audit
        return Work(
            stage="controls",
            forward_passes=2 * self.train + questions + harmless + error,
            layer_tokens=self._whole(2 * self.train),
            alone_layer_tokens=self._whole(harmless, longer),
            swept_layer_tokens=self._swept(questions + error),
            heads=2 * self.train + harmless,
            swept_heads=questions + error + harmless * longer,
            encoded=self._encoded(2 * self.train) + 2 * self._encoded(2 * self.audit),
            steps=self.facts.batches(self.audit) * _COLLATERAL_TOKENS,
        )

    def confirmation(self) -> Work:
        answers = 3.5 * self.audit
        batches = 3 * self.facts.batches(self.audit) + self.facts.batches(self.audit / 2)
        return Work(
            stage="confirmation",
            forward_passes=answers,
            layer_tokens=self._whole(answers),
            heads=answers,
            steps=batches * self.config.answer_tokens,
        )
