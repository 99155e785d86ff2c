"""From the last layer's residual stream to the model's own logits."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sae_audit.errors import AuditError
from sae_audit.subject.model.layer_modules import decoder_of, probe_ids

_N_TOKENS = 3


class Head:
    """Logits from the last layer's residual stream: final norm, output embeddings and what lies between.

    The modules are found by a short pass. Output embeddings and a soft cap are applied here; if the
    model does anything else (a scale), its own code is called with the layers skipped.
    """

    @torch.no_grad()
    def __init__(self, model: Any) -> None:
        """
        Raises:
            AuditError: the modules after the last layer do not form a chain.
        """
        self._model = model
        self._decoder, self._layers = decoder_of(model)
        self._unembed = model.get_output_embeddings()
        self._cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
        resid, made, logits = self._observe(probe_ids(model, _N_TOKENS))
        self._output = made
        hidden = getattr(made, "last_hidden_state", None)
        ours = self._normed(resid)
        if hidden is None or hidden.shape != ours.shape or not _alike(ours, hidden):
            raise AuditError(
                f"{type(model).__name__} cannot be audited: what it does between its last layer and its "
                "output embeddings is not one module after the other."
            )
        self._plain = self._unembed is not None and _alike(self._unembedded(hidden), logits)

    def __call__(
        self,
        resid: Float[Tensor, "row d_model"],
        *,
        scaled_as: Float[Tensor, " d_model"] | None = None,
    ) -> Float[Tensor, "row vocabulary"]:
        """Next-token logits from `resid_post` of the last layer at the last position.

        With `scaled_as` the final norm divides by the root mean square of that vector instead of each
        row's own (a frozen norm, 2402.15390).
        """
        normed = self._normed(resid)
        if scaled_as is not None:
            assert not self.frozen_norm_obstacle, self.frozen_norm_obstacle
            ratio = self._rms(resid) / self._rms(scaled_as)
            normed = (normed.float() * ratio).to(normed.dtype)
        if self._plain:
            return self._unembedded(normed)
        kept = dict.fromkeys(self._output) | {"last_hidden_state": normed[:, None]}
        ids = torch.zeros(len(normed), 1, dtype=torch.long, device=normed.device)
        with _instead(self._decoder, type(self._output)(**kept)):
            return self._model(input_ids=ids, use_cache=False).logits[:, -1]

    def first_order(
        self, rows: Float[Tensor, "row d_model"], *, at: Float[Tensor, " d_model"]
    ) -> Float[Tensor, "row vocabulary"]:
        """Rise of each token's logit, less the mean over tokens, per unit of each row added to the
        stream `at`, to first order; float32, on the output embeddings' device.

        The final norm is differentiated at `at`: its weights act, its divisor is that of `at`, and what
        a row adds along `at` only rescales. A soft cap or a scale behind the output embeddings, which
        leaves the tokens in their order, is left out.
        """
        # Copies, since a norm in half precision takes no float32.
        after = [deepcopy(module).float() for module in self._after]
        device = next((p.device for module in after for p in module.parameters()), at.device)

        def normed(stream: Tensor) -> Tensor:
            for module in after:
                stream = module(stream)
            return stream

        tangents = rows.detach().float().to(device)
        base = at.detach().float().to(device).expand_as(tangents).clone()
        with warnings.catch_warnings():
            # PyTorch warns of a function of its own, which it loads here for the first time.
            warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
            moved = torch.func.jvp(normed, (base,), (tangents,))[1]
        weight = next(self._unembed.parameters())
        moved = moved.detach().to(weight.device)
        moved = moved.to(weight.dtype) if weight.is_floating_point() else moved
        with torch.no_grad():
            # Output embeddings may have a bias, which no row moves.
            logits = (self._unembed(moved) - self._unembed(torch.zeros_like(moved[:1]))).float()
        return logits - logits.mean(dim=1, keepdim=True)

    @cached_property
    @torch.no_grad()
    def frozen_norm_obstacle(self) -> str:
        """The reason why the final norm's scale cannot be frozen; empty if it can.

        It can if the norm is a linear map divided by the root mean square (Llama, Gemma), which is
        tested on two vectors and their sum.
        """
        if len(self._after) != 1:
            return f"{len(self._after)} modules, not one norm, follow the last layer"
        norm = self._after[0]
        kind = type(norm).__name__
        if _epsilon(norm) is None:
            return f"the final norm, {kind}, states no epsilon, so that its scale is not known"
        generator = torch.Generator().manual_seed(0)
        width = self._model.config.get_text_config().hidden_size
        # A mean far from 0 tells the root mean square from a standard deviation.
        two = torch.randn(2, width, generator=generator) + 1.0
        streams = torch.cat([two, two.sum(dim=0, keepdim=True)])
        streams = streams.to(next(iter(norm.parameters()), streams))
        a, b, both = norm(streams).float() * self._rms(streams)
        wrong = float((a + b - both).abs().max())
        bound = 1e-4 if streams.dtype == torch.float32 else 0.05
        if wrong <= bound * max(1.0, float(both.abs().max())):
            return ""
        return f"the final norm, {kind}, does not divide by the root mean square alone"

    def _normed(self, resid: Float[Tensor, "*row d_model"]) -> Float[Tensor, "*row hidden"]:
        for module in self._after:
            resid = module(resid)
        return resid

    def _unembedded(self, hidden: Tensor) -> Tensor:
        logits = self._unembed(hidden)
        if self._cap is None:
            return logits
        if logits.requires_grad:
            return torch.tanh(logits / self._cap) * self._cap
        # In place: a batch of logits is the largest tensor there is.
        return logits.div_(self._cap).tanh_().mul_(self._cap)

    def _rms(self, resid: Float[Tensor, "*row d_model"]) -> Float[Tensor, "*row 1"]:
        epsilon = _epsilon(self._after[0])
        assert epsilon is not None, type(self._after[0])
        return (resid.float().square().mean(dim=-1, keepdim=True) + epsilon).sqrt()

    def _observe(self, ids: Tensor) -> tuple[Tensor, Any, Tensor]:
        """Last layer's output, the decoder's output and the logits; records the modules between."""
        last, found = self._layers[-1], dict[str, Any]()
        self._after: list[nn.Module] = []

        def end(_module: nn.Module, _args: Any, output: Any) -> None:
            found["resid"] = output[0] if isinstance(output, tuple | list) else output

        def after(module: nn.Module, _args: Any, _output: Any) -> None:
            if "resid" in found:
                self._after.append(module)

        def decoder(_module: nn.Module, _args: Any, output: Any) -> None:
            found["decoder"] = output

        handles = [last.register_forward_hook(end), self._decoder.register_forward_hook(decoder)]
        handles += [module.register_forward_hook(after) for module in self._beside()]
        try:
            logits = self._model(input_ids=ids[None], use_cache=False).logits
        finally:
            for handle in handles:
                handle.remove()
        return found["resid"], found["decoder"], logits

    def _beside(self) -> list[nn.Module]:
        """The outermost modules of the decoder that neither are nor contain the layers."""
        beside: list[nn.Module] = []
        waiting = [self._decoder]
        while waiting:
            for child in waiting.pop().children():
                if child is self._layers:
                    continue
                holds = any(inner is self._layers for inner in child.modules())
                (waiting if holds else beside).append(child)
        return beside


@contextmanager
def _instead(module: nn.Module, output: Any) -> Iterator[None]:
    """Make a module return `output` for any input."""
    own = module.__dict__.get("forward")
    module.forward = lambda *_args, **_kwargs: output
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own


def _alike(ours: Tensor, theirs: Tensor) -> bool:
    bound = 1e-2 if theirs.dtype.itemsize < 4 else 1e-5
    ours, theirs = ours.float(), theirs.float()
    return float((ours - theirs).abs().max()) <= bound * max(1e-3, float(theirs.abs().max()))


def _epsilon(norm: Any) -> float | None:
    return getattr(norm, "variance_epsilon", getattr(norm, "eps", None))
