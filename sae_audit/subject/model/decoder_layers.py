"""Decoder layers of a Hugging Face causal LM, run one at a time.

An audit runs the same prompt thousands of times with small changes in upper layers. The clean run is
made once, and single layers are then run again on the changed residual stream, with the model's own
modules, so the numbers are those of Hugging Face.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_audit.errors import AuditError
from sae_audit.subject.model.clean_run import CACHE, CleanRun, cache_argument
from sae_audit.subject.model.head import Head
from sae_audit.subject.model.hooks import LayerCall, LayerModules, edited, stream_in, watched
from sae_audit.subject.model.layer_caches import LayerCache
from sae_audit.subject.model.layer_modules import check_attention
from sae_audit.subject.model.suffixes import Suffixes


class DecoderLayers:
    """Decoder layers that are run one by one, outside the model's own loop."""

    def __init__(self, model: Any, modules: Sequence[LayerModules]) -> None:
        """
        Raises:
            AuditError: the model's attention implementation cannot be run on part of a prompt, or its
                logits depend on more than the last layer's residual stream.
        """
        self._model = model
        self._layer_modules = list(modules)
        check_attention(model)
        self.head = Head(model)

    @property
    def n_layers(self) -> int:
        return len(self._layer_modules)

    @property
    def dtype(self) -> torch.dtype:
        return self._model.dtype

    @property
    def frozen_norm_obstacle(self) -> str:
        """The reason why the final norm's scale cannot be frozen; empty if it can."""
        return self.head.frozen_norm_obstacle

    @torch.no_grad()
    def clean_run(self, ids: Int[Tensor, " position"]) -> CleanRun:
        """The clean run of one prompt: the model's own pass, with the arguments of every layer.

        Raises:
            AuditError: layers cache more of a prompt than keys and values.
        """
        cache, noted = noting_cache()
        counts: list[int] = []
        handles = [
            own.layer.register_forward_hook(lambda *_: counts.append(len(noted)))
            for own in self._layer_modules
        ]
        try:
            with watched([own.layer for own in self._layer_modules]) as calls:
                made = self._model(
                    input_ids=ids[None],
                    use_cache=True,
                    logits_to_keep=1,
                    **{cache_argument(self._model): cache},
                )
        finally:
            for handle in handles:
                handle.remove()
        starts = [0, *counts]
        return CleanRun(
            ids=ids,
            resid=tuple(call.resid_post[0] for _, call in calls),
            kept=tuple(tuple(noted[start:end]) for start, end in zip(starts, counts, strict=False)),
            calls=tuple(self._arguments(call, cache) for _, call in calls),
            logits=made.logits[0, -1],
        )

    @staticmethod
    def _arguments(call: LayerCall, cache: Any) -> dict[str, Any]:
        arguments = {
            name: CACHE if value is cache else value for name, value in call.others.items()
        }
        return arguments | ({"use_cache": False} if "use_cache" in arguments else {})

    def run(
        self,
        layer: int,
        resid: Float[Tensor, "row position d_model"],
        batch: Suffixes,
        owner: Int[Tensor, " row"],
        *,
        whole: bool = False,
        cache: LayerCache | None = None,
    ) -> Float[Tensor, "row finished d_model"]:
        """Output of one decoder layer on the last positions; earlier ones keep their keys and values,
        those of the clean runs if there is no `cache`.

        In the last layer only the last position is finished, unless `whole`: only that one is read.
        """
        own = self._layer_modules[layer]
        last = layer == self.n_layers - 1 and not whole
        alone = {own.feed_forward} if last and own.feed_forward is not None else set()
        with edited(inputs=dict.fromkeys(alone, _last_position)):
            output = own.layer(
                resid.to(batch.device(layer)),
                **batch.arguments(layer, owner, cache),
            )
        output = stream_in(output)
        return output[:, -1:] if last else output

    @torch.no_grad()
    def check(self, run: CleanRun) -> None:
        """Check that layers run one by one give the model's own logits.

        Raises:
            AuditError: they differ, because the architecture passes its layers unforeseen arguments.
        """
        for start in {0, run.length // 2}:
            batch = Suffixes([run], run.length - start)
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

    def suffixes(self, runs: Sequence[CleanRun], n_positions: int, n_alike: int = 0) -> Suffixes:
        return Suffixes(runs, n_positions, n_alike)


def _last_position(
    resid: Float[Tensor, "batch position d_model"],
) -> Float[Tensor, "batch 1 d_model"]:
    # The feed-forward output is added to the stream and broadcasts over positions; it is correct at
    # the last position, the only one that is read.
    return resid[:, -1:]


def noting_cache() -> tuple[Any, list[tuple[Tensor, Tensor]]]:
    """A key-value cache, and the list of keys and values written to it, in order.

    The cache raises AuditError if it is given anything else (a recurrent state, an index).
    """
    from transformers import DynamicCache

    noted: list[tuple[Tensor, Tensor]] = []

    class Noting(DynamicCache):
        def update(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
            keys, values = super().update(*args, **kwargs)
            noted.append((keys[0], values[0]))
            return keys, values

    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise AuditError(
            "The model's layers keep more of a prompt than keys and values (the state of a recurrence, "
            "or an index), so that they cannot be run on a part of it."
        )

    for name in dir(DynamicCache):
        if name.startswith("update_") or name.endswith("_state"):
            setattr(Noting, name, refuse)
    # Without a config the cache keeps every position, even if a layer's window is shorter.
    return Noting(), noted
