"""Many ablations in one sweep over the layers, each layer run once for all sets that still agree.

The rows of a sweep are residual streams, not feature sets: it starts without rows, since every set
agrees with the clean run. A layer with ablated features forks rows. Sets that ablate the same firing
features of the same stream share a row; ablating a feature that does not fire changes nothing, and a
set none of whose features ever fires remains the clean run at no cost. This is exact.

Positions before the first one that any set changes are not run: under causal attention their
streams, keys and values are those of the clean run. If prompts begin with the same tokens and a set
changes these, they are run once for the set and not for each prompt (`beginnings`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_audit.subject.intervention.ablation import LayerAblation, LayerSets, sets_by_layer
from sae_audit.subject.intervention.beginnings import Begun, Continued
from sae_audit.subject.model.clean_run import CleanRun
from sae_audit.subject.model.cost import CostMeter
from sae_audit.subject.model.decoder_layers import DecoderLayers
from sae_audit.subject.model.hooks import Resid
from sae_audit.subject.model.layer_caches import LayerCache, LayerKept, Noted
from sae_audit.subject.model.suffixes import Suffixes
from sae_audit.subject.saes.sae import Sae
from sae_audit.vocabulary import Ablation, ErrorTerm, FeatureId, FeatureSet

_CLEAN = -1
"""Row number of a set that still agrees with the clean run."""
_NEVER = 1 << 30


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """One prompt under one kind of ablation."""

    run: CleanRun
    selected: Bool[Tensor, " position"]
    """Positions at which features are ablated."""
    starts: dict[FeatureId, int]
    """First position at which each feature asked about so far changes the clean run."""


Question = tuple[Asked, FeatureSet]


class BatchedAblation:
    """Logits of questions (prompt, feature set) about one subject under one kind of ablation."""

    def __init__(
        self,
        stack: DecoderLayers,
        suite: Mapping[int, Sae],
        ablation: Ablation,
        error_layers: frozenset[int],
        cost: CostMeter,
    ) -> None:
        self._stack = stack
        self._suite = suite
        self._ablation = ablation
        self._error_layers = error_layers
        self._cost = cost

    def first_changes(
        self, run: CleanRun, selected: Bool[Tensor, " position"], features: Sequence[FeatureId]
    ) -> dict[FeatureId, int | None]:
        """First position at which ablating each feature alone changes the clean run; None if none."""
        asked = Asked(run=run, selected=selected, starts={})
        self._find_starts(asked, set(features))
        return {
            feature: None if asked.starts[feature] == _NEVER else asked.starts[feature]
            for feature in features
        }

    def n_positions(self, questions: Sequence[Question]) -> list[int]:
        """Number of last positions that each question has to run; 0 if it equals the clean run."""
        by_prompt: dict[int, tuple[Asked, set[FeatureId]]] = {}
        for asked, ablated in questions:
            by_prompt.setdefault(id(asked), (asked, set()))[1].update(ablated)
        for asked, features in by_prompt.values():
            self._find_starts(asked, features)
        return [self._n_changed(asked, ablated) for asked, ablated in questions]

    @torch.no_grad()
    def begun(
        self,
        beginning: CleanRun,
        selected: Bool[Tensor, " position"],
        sets: Sequence[FeatureSet],
    ) -> list[Begun | None]:
        """What each set makes of tokens that prompts begin with; None if it does not change them."""
        batch = self._stack.suffixes([beginning], beginning.length)
        rows = _Rows(
            stack=self._stack,
            batch=batch,
            selected=batch.selected([selected]),
            prompt=np.zeros(len(sets), int),
        )
        after = np.full(len(sets), _NEVER)
        kept: list[list[LayerKept]] = [[] for _ in sets]
        last = self._stack.n_layers - 1
        for layer, ablated, here in self._edits(sets):
            noted = Noted()
            rows.run(layer, noted)
            for question, row in enumerate(rows.row.tolist()):
                if row != _CLEAN:
                    kept[question].append(noted.of_row(row))
            # What the last layer writes here is read by no other.
            if ablated is not None and layer < last:
                rows.fork(layer, ablated, here)
            after[(rows.row != _CLEAN) & (after == _NEVER)] = layer
        # A prompt under an ablation is one pass, however it is run.
        self._cost.tokens += rows.n_rows * beginning.length
        made: dict[int, Begun] = {}
        for question, row in enumerate(rows.row.tolist()):
            if row != _CLEAN and row not in made:
                made[row] = Begun(after=int(after[question]), kept=tuple(kept[question]))
        return [made.get(row) for row in rows.row.tolist()]

    @torch.no_grad()
    def logits(
        self,
        questions: Sequence[Question],
        n_positions: int,
        continued: tuple[CleanRun, Sequence[Begun | None]] | None = None,
    ) -> tuple[Float[Tensor, "row vocabulary"], list[int]]:
        """Next-token logits of the final rows, and each question's row.

        Row -1 stands for the clean run, for which no logits are computed. `continued` is the clean run
        of tokens that all prompts begin with, and what each question's set makes of them; `n_positions`
        are then those behind them.
        """
        prompts = {id(asked): asked for asked, _ in questions}
        index_of = {key: i for i, key in enumerate(prompts)}
        runs = [asked.run for asked in prompts.values()]
        n_alike = continued[0].length if continued is not None else 0
        batch = self._stack.suffixes(runs, n_positions, n_alike)
        rows = _Rows(
            stack=self._stack,
            batch=batch,
            selected=batch.selected([asked.selected for asked in prompts.values()]),
            prompt=np.array([index_of[id(asked)] for asked, _ in questions]),
        )
        before = Continued(*continued) if continued is not None else None
        number, after = np.full(len(questions), _CLEAN), np.full(len(questions), _NEVER)
        if continued is not None and before is not None:
            number = np.array(before.numbers)
            after = np.array([_NEVER if one is None else one.after for one in continued[1]])
        for layer, ablated, here in self._edits([ablated for _, ablated in questions]):
            rows.run(layer, before.before(layer, torch.tensor(rows.begun)) if before else None)
            if ablated is not None:
                rows.fork(layer, ablated, here, np.where(after <= layer, number, _CLEAN))
        self._cost.count(batch=rows.n_rows, positions=n_positions)
        return rows.logits(), rows.row.tolist()

    def _edits(
        self, sets: Sequence[FeatureSet]
    ) -> Iterator[tuple[int, LayerAblation | None, LayerSets]]:
        """The layers from the lowest that any set edits, each with what the sets ablate there."""
        layers = sets_by_layer(sets, self._error_layers)
        nothing = LayerSets(
            features=(),
            member=np.zeros((len(sets), 0), bool),
            treated=np.zeros(len(sets), bool),
        )
        for layer in range(min(layers), self._stack.n_layers):
            here = layers.get(layer, nothing)
            ablated = None
            if layer in layers:
                ablated = LayerAblation(
                    sae=self._suite[layer], features=here.features, ablation=self._ablation
                )
            yield layer, ablated, here

    @torch.no_grad()
    def _find_starts(self, asked: Asked, features: set[FeatureId]) -> None:
        missing = sorted(features - asked.starts.keys())
        for layer in sorted({feature.layer for feature in missing}):
            here = [feature for feature in missing if feature.layer == layer]
            resid = asked.run.resid[layer][None]
            ablated = LayerAblation(
                sae=self._suite[layer],
                features=tuple(feature.index for feature in here),
                ablation=self._ablation,
            )
            differs = ablated.terms(resid, asked.selected[None], lambda r=resid: r).excess[0] != 0
            if layer == self._stack.n_layers - 1:
                differs[:-1] = False
            first = torch.where(differs.any(dim=0), differs.int().argmax(dim=0), _NEVER)
            asked.starts.update(zip(here, first.tolist(), strict=True))

    def _n_changed(self, asked: Asked, ablated: FeatureSet) -> int:
        start = min((asked.starts[feature] for feature in ablated), default=_NEVER)
        replaces_error = self._ablation.error_term == ErrorTerm.DROPPED
        if replaces_error and (ablated or self._error_layers):
            start = min([start, *asked.selected.nonzero()[:1, 0].tolist()])
        return max(0, asked.run.length - start)


class _Rows:
    """The residual streams of one sweep at one layer, and each question's row."""

    def __init__(
        self,
        *,
        stack: DecoderLayers,
        batch: Suffixes,
        selected: Bool[Tensor, "prompt position"],
        prompt: Int[np.ndarray, " question"],
    ) -> None:
        self.row = np.full(len(prompt), _CLEAN)
        self._stack = stack
        self._batch = batch
        self._selected = selected
        self._prompt = prompt
        self._resid: Resid | None = None
        self._owner = np.zeros(0, int)
        self.begun = np.zeros(0, int)
        """Number of the beginning that each row continues; `_CLEAN` if it is that of the clean run."""

    @property
    def n_rows(self) -> int:
        return len(self._owner)

    def run(self, layer: int, cache: LayerCache | None = None) -> None:
        """Run the next layer on every row, behind what `cache` holds; None for the clean runs' own."""
        if self._resid is not None:
            owner = self._on(self._owner, layer)
            self._resid = self._stack.run(layer, self._resid, self._batch, owner, cache=cache)

    def fork(
        self,
        layer: int,
        ablated: LayerAblation,
        sets: LayerSets,
        begun: Int[np.ndarray, " question"] | None = None,
    ) -> None:
        """Ablate one layer; a row forks if its questions ablate different firing features, or from here
        on continue different beginnings (`begun`)."""
        clean = self._batch.clean(layer)
        selected = self._selected.to(clean.device)
        if layer == self._stack.n_layers - 1:
            clean, selected = clean[:, -1:], selected[:, -1:]
        parents, owner, parent = self._parents(clean, sets.treated, layer)
        owners = self._on(owner, layer)
        terms = ablated.terms(parents, selected[owners], lambda: clean[owners])
        differs = (terms.excess != 0).any(dim=1).cpu().numpy()
        replaced = sets.treated & (ablated.ablation.error_term != ErrorTerm.KEPT)
        # Putting the clean error back into an unchanged stream leaves it unchanged.
        if ablated.ablation.error_term == ErrorTerm.FROZEN:
            replaced = replaced & (self.row != _CLEAN)
        effective = sets.member & differs[parent]
        begun = np.full(len(self.row), _CLEAN) if begun is None else begun
        changed = (self.row != _CLEAN) | (begun != _CLEAN) | replaced
        children: dict[tuple[int, int, bool, bytes], int] = {}
        first: list[int] = []
        for question, bits in enumerate(np.packbits(effective, axis=1)):
            if not (changed[question] or bits.any()):
                continue
            key = (
                int(parent[question]),
                int(begun[question]),
                bool(replaced[question]),
                bits.tobytes(),
            )
            if key not in children:
                children[key] = len(first)
                first.append(question)
            self.row[question] = children[key]
        self._owner = owner[parent[first]]
        self.begun = begun[first]
        if not first:
            self._resid = None
            return
        chosen = self._on(parent[first], layer)
        keep = torch.tensor(effective[first], device=chosen.device)[:, None, :]
        scale = None if terms.scale is None else terms.scale[chosen]
        removed = ablated.removed(terms.excess[chosen] * keep, scale)
        base = terms.base[chosen]
        if terms.base is not parents:
            base = torch.where(
                torch.tensor(replaced[first], device=chosen.device)[:, None, None],
                base,
                parents[chosen],
            )
        # Only the difference is rounded to the stream's dtype, so an empty set changes no bit.
        self._resid = base - removed.to(base.dtype)

    def logits(self) -> Float[Tensor, "row vocabulary"]:
        if self._resid is None:
            return torch.empty(0, 0)
        return self._stack.head(self._resid[:, -1])

    def _parents(
        self,
        clean: Float[Tensor, "prompt position d_model"],
        treated: Bool[np.ndarray, " question"],
        layer: int,
    ) -> tuple[
        Float[Tensor, "row position d_model"], Int[np.ndarray, " row"], Int[np.ndarray, " question"]
    ]:
        """The rows that may fork in this layer, their prompts, and each question's row."""
        arriving = np.unique(self._prompt[treated & (self.row == _CLEAN)])
        added = np.zeros(len(clean), int)
        added[arriving] = self.n_rows + np.arange(len(arriving))
        parent = np.where(self.row == _CLEAN, added[self._prompt], self.row)
        owner = np.concatenate([self._owner, arriving])
        new = clean[self._on(arriving, layer)]
        if self._resid is None:
            return new, owner, parent
        return torch.cat([self._resid, new]), owner, parent

    def _on(self, index: Int[np.ndarray, " _"], layer: int) -> Int[Tensor, " _"]:
        return torch.as_tensor(index, dtype=torch.long, device=self._batch.device(layer))
