"""The decoder of a Hugging Face causal LM, one layer at a time.

An audit runs the same prompt thousands of times with small differences high up. Here the clean
run is made once and remembered, and single layers are then run again on what has changed: with the
model's own modules, so the numbers are Hugging Face's own.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sae_audit.errors import AuditError
from sae_audit.subject.clean_run import CleanRun
from sae_audit.subject.hooks import Places, decoder_of, edited
from sae_audit.subject.suffixes import Suffixes

_ATTENTION = ("sdpa", "eager")
_MODULE_CALLS = {"attention_mask", "position_embeddings", "position_ids", "past_key_values"}


class Stack:
    """Runs decoder layers apart from the model's own loop over them."""

    def __init__(self, model: Any, places: Sequence[Places]) -> None:
        """
        Raises:
            AuditError: the model's attention implementation cannot be run on part of a prompt.
        """
        self._model = model
        self._places = list(places)
        self._norm = decoder_of(model).norm
        self._unembed = model.get_output_embeddings()
        self._config = model.config.get_text_config()
        attention = self._config._attn_implementation
        if attention not in _ATTENTION:
            raise AuditError(
                f"The model runs with {attention} attention, which takes no mask for part of a prompt; "
                f"load it with attn_implementation {' or '.join(_ATTENTION)}."
            )
        self._needs_mask = attention != "sdpa"

    @property
    def n_layers(self) -> int:
        return len(self._places)

    @property
    def dtype(self) -> torch.dtype:
        return self._model.dtype

    @torch.no_grad()
    def clean_run(self, ids: Int[Tensor, " position"]) -> CleanRun:
        """The model's own pass over one prompt, with what every layer was called with."""
        from transformers import DynamicCache

        calls: list[dict[str, Any]] = []
        outputs: list[Tensor] = []

        def note(_module: nn.Module, _args: Any, kwargs: dict[str, Any], output: Any) -> None:
            calls.append(kwargs)
            outputs.append((output[0] if isinstance(output, tuple) else output)[0])

        # Without a config the cache keeps every position, also where a layer's window is shorter.
        cache = DynamicCache()
        handles = [
            place.layer.register_forward_hook(note, with_kwargs=True) for place in self._places
        ]
        try:
            made = self._model(
                input_ids=ids[None], past_key_values=cache, use_cache=True, logits_to_keep=1
            )
        finally:
            for handle in handles:
                handle.remove()
        kept: list[Any] = cache.layers
        return CleanRun(
            ids=ids,
            resid=tuple(outputs),
            keys=tuple(layer.keys[0] for layer in kept),
            values=tuple(layer.values[0] for layer in kept),
            allowed=self._allowed([call.get("attention_mask") for call in calls], len(ids)),
            rotary=tuple(call.get("position_embeddings") for call in calls),
            others=tuple(
                {name: value for name, value in call.items() if name not in _MODULE_CALLS}
                | {"use_cache": False}
                for call in calls
            ),
            logits=made.logits[0, -1],
        )

    def run(
        self,
        layer: int,
        resid: Float[Tensor, "row position d_model"],
        batch: Suffixes,
        owner: Int[Tensor, " row"],
        *,
        whole: bool = False,
    ) -> Float[Tensor, "row finished d_model"]:
        """One decoder layer on the last positions of prompts; earlier ones keep keys and values.

        In the last layer only the last position is finished: nothing reads the others, save where
        the `whole` layer is asked for.
        """
        place = self._places[layer]
        last = layer == self.n_layers - 1 and not whole
        with edited(inputs={place.feed_forward: _last_position} if last else {}):
            output = place.layer(
                resid.to(batch.device(layer)),
                attention_mask=batch.mask(layer, owner),
                position_embeddings=batch.rotary(layer, owner),
                position_ids=batch.position_ids(layer, owner),
                past_key_values=batch.prefix(layer, owner),
                **batch.others(layer),
            )
        output = output[0] if isinstance(output, tuple) else output
        return output[:, -1:] if last else output

    def head(
        self,
        resid: Float[Tensor, "row d_model"],
        *,
        scaled_as: Float[Tensor, " d_model"] | None = None,
    ) -> Float[Tensor, "row vocabulary"]:
        """Next-token logits from `resid_post` of the last layer at the last position.

        With `scaled_as` the final norm divides by the root mean square of that stream in place of
        each row's own (2402.15390 calls this a frozen norm).
        """
        normed = self._norm(resid)
        if scaled_as is not None:
            assert not self.frozen_norm_obstacle, self.frozen_norm_obstacle
            ratio = self._rms(resid) / self._rms(scaled_as)
            normed = (normed.float() * ratio).to(normed.dtype)
        logits = self._unembed(normed)
        cap = getattr(self._config, "final_logit_softcapping", None)
        if cap is None:
            return logits
        if logits.requires_grad:
            return torch.tanh(logits / cap) * cap
        # In place: a batch of logits is the largest tensor there is.
        return logits.div_(cap).tanh_().mul_(cap)

    @cached_property
    @torch.no_grad()
    def frozen_norm_obstacle(self) -> str:
        """Why the final norm's scale cannot be frozen; empty where it can.

        It can where the norm is a linear map divided by the root mean square (Llama, Gemma): tried
        on two streams and their sum, for modules of that name differ.
        """
        kind = type(self._norm).__name__
        if _epsilon(self._norm) is None:
            return f"the final norm, {kind}, states no epsilon, so that its scale is not known"
        generator = torch.Generator().manual_seed(0)
        width = self._config.hidden_size
        # A mean far from 0 tells the root mean square from a standard deviation.
        two = torch.randn(2, width, generator=generator) + 1.0
        streams = torch.cat([two, two.sum(dim=0, keepdim=True)])
        streams = streams.to(next(self._norm.parameters()))
        a, b, both = self._norm(streams).float() * self._rms(streams)
        wrong = float((a + b - both).abs().max())
        bound = 1e-4 if streams.dtype == torch.float32 else 0.05
        if wrong <= bound * max(1.0, float(both.abs().max())):
            return ""
        return f"the final norm, {kind}, does not divide by the root mean square alone"

    def _rms(self, resid: Float[Tensor, "*row d_model"]) -> Float[Tensor, "*row 1"]:
        epsilon = _epsilon(self._norm)
        assert epsilon is not None, type(self._norm)
        return (resid.float().square().mean(dim=-1, keepdim=True) + epsilon).sqrt()

    @torch.no_grad()
    def check(self, run: CleanRun) -> None:
        """Make sure that layers run one by one give what the model gives.

        Raises:
            AuditError: they do not; the architecture hands its layers something unforeseen.
        """
        for start in {0, run.length // 2}:
            batch = Suffixes([run], run.length - start, needs_mask=self._needs_mask)
            owner = torch.zeros(1, dtype=torch.long, device=run.ids.device)
            resid = batch.clean(0)
            for layer in range(1, self.n_layers):
                resid = self.run(layer, resid, batch, owner)
            logits = self.head(resid[:, -1])[0].float()
            wrong = float((logits - run.logits.float()).abs().max())
            bound = 1e-3 if self.dtype == torch.float32 else 0.05
            if not wrong <= bound * max(1.0, float(run.logits.abs().max())):
                raise AuditError(
                    f"{type(self._model).__name__} cannot be audited: its layers, run one by one, "
                    f"give logits that differ by {wrong:.3g} from the model's own."
                )

    def suffixes(self, runs: Sequence[CleanRun], n_positions: int) -> Suffixes:
        return Suffixes(runs, n_positions, needs_mask=self._needs_mask)

    def _allowed(
        self, masks: Sequence[Tensor | None], length: int
    ) -> tuple[Bool[Tensor, "position position"], ...]:
        # Layers of one kind share one mask object; so they do here.
        made: dict[int, Tensor] = {}
        for mask in masks:
            if id(mask) not in made:
                made[id(mask)] = _as_bool(mask, length, self._model.device)
        return tuple(made[id(mask)] for mask in masks)


def _epsilon(norm: Any) -> float | None:
    return getattr(norm, "variance_epsilon", getattr(norm, "eps", None))


def _last_position(
    resid: Float[Tensor, "batch position d_model"],
) -> Float[Tensor, "batch 1 d_model"]:
    # What the feed-forward part returns is added to the stream, and broadcasts over positions:
    # right at the last one, where alone it is read.
    return resid[:, -1:]


def _as_bool(mask: Tensor | None, length: int, device: torch.device) -> Bool[Tensor, "q k"]:
    if mask is None:
        return torch.ones(length, length, dtype=torch.bool, device=device).tril()
    mask = mask[0, 0]
    return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
