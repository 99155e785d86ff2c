"""The cost of a stage in units that can be timed one by one: passes, and tokens through layers.

Each stage prices itself. Some costs are exact; those of searches and cascades depend on their findings
and use the assumptions below.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

from sae_audit.config import AuditConfig

DISTINCT = 0.65
"""Share of sets in which some feature fires and that no other set equals; the rest cost nothing. On the
bundled organism .73, on a random model of Gemma-2-2B's shape .59."""
SET_SIZE = 3
"""Number of features of a minimal set."""
WAVES = 2
"""Number of waves of a cascade."""
_TESTED = 0.9
"""Share of `cascade.max_tested` tested per wave: on the bundled organism .93."""
_CHANGED = 0.6
"""Share of a prompt's positions that an ablation changes, from its first changed one."""


_BACKWARD = 2.0
"""Cost of a backward pass, in forward passes."""


@runtime_checkable
class HasWidth(Protocol):
    """An SAE before it is loaded: its width."""

    @property
    def width(self) -> int: ...


@runtime_checkable
class Sizes(Protocol):
    """The sizes of model, SAEs and prompts that a price depends on."""

    @property
    def n_layers(self) -> int: ...
    @property
    def prompt_tokens(self) -> float:
        """Mean tokens of a prompt, template included."""
        ...

    @property
    def template_tokens(self) -> int: ...
    @property
    def n_lookalikes(self) -> int:
        """Number of safe look-alikes scored."""
        ...

    @property
    def n_categories(self) -> int:
        """Number of categories of the taxonomy; 0 without one."""
        ...

    @property
    def saes(self) -> Mapping[int, HasWidth]:
        """By audited layer."""
        ...

    def batches(self, n: float) -> float:
        """Number of batches that `n` prompts make."""
        ...


@dataclass(frozen=True, kw_only=True)
class Work:
    """The work of one stage, in units of each kind."""

    forward_passes: float
    layer_tokens: float = 0.0
    """Tokens through one decoder layer each, in whole passes of several prompts."""
    alone_layer_tokens: float = 0.0
    """The same in passes of one prompt."""
    swept_layer_tokens: float = 0.0
    """The same in sweeps, where questions share what they can."""
    edited_layer_tokens: float = 0.0
    """Those of the former in which a direction is projected out on the way."""
    heads: float = 0.0
    """Distributions over the vocabulary, in whole passes."""
    swept_heads: float = 0.0
    """The same in sweeps."""
    encoded: float = 0.0
    """Features times tokens encoded, or decoded, with whole SAEs."""
    alone_encoded: float = 0.0
    """The same, one prompt at a time."""
    steps: float = 0.0
    """Steps of generating answers, one batch through all layers each."""
    fits: float = 0.0
    """Number of interaction graphs fitted."""
    assumed: str = ""
    most: "Work | None" = None
    """The work if what is assumed does not hold, such as filters that fail; None if it depends on
    nothing, or if nothing bounds it."""

    def __add__(self, other: "Work") -> "Work":
        """Both one after the other, without their assumptions."""
        return Work(**{name: getattr(self, name) + getattr(other, name) for name in _UNITS})

    def times(self, factor: float) -> "Work":
        """This work so many times, without its assumptions."""
        return Work(**{name: factor * getattr(self, name) for name in _UNITS})


_UNITS = [one.name for one in fields(Work) if one.name not in ("assumed", "most")]


class AuditSize:
    """The size of an audit, and the cost of passes at that size."""

    def __init__(self, config: AuditConfig, facts: Sizes) -> None:
        self.config, self.facts = config, facts
        self.tokens = facts.prompt_tokens
        self.n_layers = facts.n_layers
        sizes = config.prompts
        self.train, self.validation, self.audit = sizes.train, sizes.validation, sizes.audit
        self.lookalikes = facts.n_lookalikes
        self.above = self.n_layers - min(facts.saes)
        """Number of layers that a sweep from the lowest audited one runs."""
        self.features = sum(sae.width for sae in facts.saes.values())
        n = config.candidates.most_per_layer * len(facts.saes)
        kept = config.candidates.method == "cosine_attribution"
        self.n_candidates = min(n, config.candidates.keep) if kept else n

    def whole(self, passes: float, tokens: float | None = None) -> float:
        """Layer-tokens of passes through the whole model."""
        return passes * (self.tokens if tokens is None else tokens) * self.n_layers

    def swept(self, questions: float, share: float = 1.0) -> float:
        """Layer-tokens of questions in sweeps, `share` of the layers above the lowest audited one."""
        return questions * self.tokens * _CHANGED * self.above * share

    def encoded(self, passes: float) -> float:
        """Features times tokens that these passes encode with every SAE."""
        return passes * self.tokens * self.features

    def attribution(self, prompts: int, steps: int | None = None) -> Work:
        """Attribution of each of these prompts, one backward pass each; `steps` as the settings say, if
        they are not given."""
        steps = self.config.attribution_steps if steps is None else steps
        points = 1 if steps == 1 else steps * len(self.facts.saes)
        return Work(
            forward_passes=prompts * points,
            alone_layer_tokens=self.whole(prompts * (1 + points * (1 + _BACKWARD))),
            alone_encoded=2 * self.encoded(prompts),
        )

    def own_order(self) -> Work:
        """Each prompt's own attribution, if searches take candidates in its order."""
        attributed = self.config.minimal.order != "candidates"
        return self.attribution(self.audit if attributed else 0)

    def waves(self, n_waves: int, *, n_clean_readings: int) -> Work:
        """A search for waves behind one set of each audit prompt."""
        readings = self.audit * (n_clean_readings + n_waves * (2 + SET_SIZE))
        tests = self.audit * (3 + n_waves * _TESTED * self.config.cascade.max_tested)
        return Work(
            forward_passes=readings + tests,
            alone_layer_tokens=self.whole(readings),
            swept_layer_tokens=self.swept(tests),
            heads=readings,
            swept_heads=tests,
            alone_encoded=self.encoded(readings),
            assumed=f"{n_waves} waves" if n_waves > 1 else "nothing that activates joins a wave",
        )


def nothing(_: AuditSize) -> Work:
    """No passes: the price of a stage that counts the findings of others."""
    return Work(forward_passes=0)
