"""Checks of the assumptions that an audit makes about a model, on short prompts at loading.

No later number would reveal that one of five fails: two texts give two residual streams; all numbers
are finite; attention does not look ahead; all additions to the stream come from the known writers, so
that a direction projected out of them is gone; and layers run one by one on the ends of two prompts,
with the stream changed, give the whole model's result.
"""

from collections.abc import Sequence
from statistics import median
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sae_audit.errors import AuditError
from sae_audit.subject.model.clean_run import CleanRun
from sae_audit.subject.model.decoder_layers import DecoderLayers
from sae_audit.subject.model.directional_ablation import everywhere
from sae_audit.subject.model.hooks import LayerModules, Resid, edited, watched
from sae_audit.subject.model.layer_modules import (
    FAILURES,
    check_calls,
    check_finite,
    decoder_layers_of,
)
from sae_audit.untrusted import shown

Ids = Int[Tensor, " _"]


@torch.no_grad()
def check_structure(model: Any, modules: Sequence[LayerModules], first: Ids, second: Ids) -> float:
    """The largest difference of logits between layers run one by one and the whole model.

    As a share of the largest logit; all five assumptions are checked on two prompts.

    Raises:
        AuditError: one of them does not hold.
    """
    kind = type(model).__name__
    if first.tolist() == second.tolist():
        raise AuditError(
            f"Two different texts become the same {len(first)} tokens; the tokenizer or the chat "
            "template drops what is asked."
        )
    try:
        return _checked(model, modules, first, second)
    except torch.OutOfMemoryError:
        raise
    except FAILURES as error:
        raise AuditError(
            f"{kind} cannot be audited: its layers cannot be run apart or on a part of a prompt "
            f"({type(error).__name__}: {shown((str(error) or '?').splitlines()[0])})."
        ) from error


def _checked(model: Any, modules: Sequence[LayerModules], first: Ids, second: Ids) -> float:
    kind = type(model).__name__
    for ids in (first, second):
        with watched(decoder_layers_of(model)) as calls:
            logits = model(input_ids=ids[None], use_cache=False).logits
        check_finite(model, calls, logits)
    stack = DecoderLayers(model, modules)
    whole, other, shorter = (stack.clean_run(ids) for ids in (first, second, first[:-1]))
    if _are_one(whole.resid[-1].float(), other.resid[-1].float()):
        raise AuditError(
            f"{kind} makes the same stream of two different texts; its weights or its tokenizer are "
            "not whole."
        )
    _check_causal(kind, whole, shorter)
    check_writers(model, modules, first)
    return _check_suffixes(model, stack, [whole, shorter, other])


def _are_one(stream: Float[Tensor, "_ d_model"], other: Float[Tensor, "other d_model"]) -> bool:
    # Compared at all positions from the end: at the last one alone, two requests that are answered
    # alike may agree.
    n = min(len(stream), len(other))
    one, two = stream[-n:], other[-n:]
    return bool(((one - two).norm(dim=-1) <= 1e-5 * one.norm(dim=-1)).all())


def _check_causal(kind: str, whole: CleanRun, shorter: CleanRun) -> None:
    for layer, (longer, resid) in enumerate(zip(whole.resid, shorter.resid, strict=True)):
        off = (longer[: len(resid)].float() - resid.float()).norm(dim=-1)
        # The median over positions: in 16 bits one near a tie may be routed to another expert.
        share = float((off / resid.float().norm(dim=-1).clamp_min(1e-30)).median())
        if not share <= (0.2 if _rough(resid) else 1e-3):
            raise AuditError(
                f"{kind} cannot be audited: in layer {layer} a position depends on later ones; an audit "
                "needs causal attention."
            )


@torch.no_grad()
def check_writers(model: Any, modules: Sequence[LayerModules], ids: Ids) -> None:
    """Check that every layer's output is its input plus the outputs of its writers.

    The sum may have factors (Granite's `residual_multiplier`, Gemma-4's layer scalar). A random
    direction projected out of every term must be gone from the residual stream after every layer.

    Raises:
        AuditError: the sum differs in some layer, or a part of the direction is left.
    """
    kind = type(model).__name__
    layers = decoder_layers_of(model)
    added: dict[nn.Module, Resid] = {}

    def noted(module: nn.Module):
        def note(output: Float[Tensor, "*row d_model"]) -> Float[Tensor, "*row d_model"]:
            added[module] = output.clone()
            return output

        return note

    writers = [module for own in modules for module in own.writers]
    given: list[Resid] = []

    def taken(resid: Resid) -> Resid:
        given.append(resid.clone())
        return resid

    with (
        edited(
            inputs={own.layer: taken for own in modules},
            outputs={module: noted(module) for module in writers},
        ),
        watched(layers) as calls,
    ):
        model(input_ids=ids[None], use_cache=False)
    check_calls(model, layers, calls, ids)
    for i, own in enumerate(modules):
        # Some modules have all positions in one row.
        shape, device = given[i].shape, given[i].device
        parts = [given[i], *(added[one].reshape(shape).to(device) for one in own.writers)]
        left = _left_over(parts, calls[i][1].resid_post)
        if left > (0.1 if _rough(given[i]) else 1e-3):
            raise AuditError(
                f"{kind} cannot be audited: in layer {i} the stream and what attention and MLP add to "
                f"it leave {left:.1%} of the stream's change unexplained."
            )
    random = torch.randn(given[0].shape[-1], generator=torch.Generator().manual_seed(0))
    unit = (random / random.norm()).to(given[0])
    inputs, outputs = everywhere(modules, unit[None])
    with edited(inputs=inputs, outputs=outputs), watched(layers) as calls:
        model(input_ids=ids[None], use_cache=False)
    for i, (_, call) in enumerate(calls):
        resid = call.resid_post.double()
        along = (resid @ unit.to(resid)).abs()
        # Relative to a random direction's expected component; rounding leaves a small share of it.
        share = float((along / (resid.norm(dim=-1) / resid.shape[-1] ** 0.5)).max())
        if not share <= (0.2 if _rough(call.resid_post) else 1e-3):
            raise AuditError(
                f"{kind} cannot be audited: a direction projected out of all that is written to the "
                f"stream leaves {share:.1%} of itself behind layer {i}."
            )


def _left_over(parts: list[Resid], after: Resid) -> float:
    """Share of a layer's change of the residual stream that no linear combination of `parts` explains.

    All positions have equal weight, so that 16-bit rounding at large norms does not dominate.
    """
    scale = after.double().norm(dim=-1, keepdim=True).clamp_min(1e-30)
    columns = torch.stack([(part.double() / scale).flatten() for part in parts])
    target = (after.double() / scale).flatten()
    weights = torch.linalg.lstsq(columns.T.cpu(), target[:, None].cpu(), driver="gelsd").solution
    off = (target.cpu() - (columns.T.cpu() @ weights)[:, 0]).norm()
    change = (target - weights[0].to(target) * columns[0]).norm()
    rounding = torch.finfo(after.dtype).eps * target.norm()
    return float((off - rounding).clamp_min(0.0) / change.cpu().clamp_min(1e-30))


def _check_suffixes(model: Any, stack: DecoderLayers, runs: list[CleanRun]) -> float:
    """Difference of logits, layers run apart minus model, with the first layer's output changed."""
    n = max(2, min(run.length for run in runs) // 2)
    batch = stack.suffixes(runs, n)
    owner = torch.arange(len(runs), device=runs[0].ids.device)
    start = batch.clean(0)
    drawn = torch.randn(start.shape, generator=torch.Generator().manual_seed(0)).to(start)
    change = drawn * (start.norm() / drawn.norm())
    resid = start + change
    for layer in range(1, stack.n_layers):
        resid = stack.run(layer, resid, batch, owner)
    apart = stack.head(resid[:, -1]).float()
    off: list[float] = []
    for row, run in enumerate(runs):

        def edit(stream: Resid, row: int = row) -> Resid:
            changed = stream.clone()
            changed[:, -n:] += change[row]
            return changed

        with edited(outputs={decoder_layers_of(model)[0]: edit}):
            together = model(input_ids=run.ids[None], use_cache=False).logits[0, -1].float()
        off.append(_difference(apart[row], together))
    # In 16 bits, experts near a tie may change one prompt of the three.
    worst = median(off) if _rough(start) else max(off)
    if not worst <= (0.1 if _rough(start) else 1e-3):
        raise AuditError(
            f"{type(model).__name__} cannot be audited: its layers, run one by one on the ends of "
            f"prompts, give logits that differ by {worst:.2g} of the largest from the model's own."
        )
    return worst


def _difference(ours: Float[Tensor, " word"], theirs: Float[Tensor, " word"]) -> float:
    size = float(theirs.abs().max())
    if theirs.abs().max() == 0:
        return float(ours.abs().max())
    return float((ours - theirs).abs().max()) / size


def _rough(tensor: Tensor) -> bool:
    return tensor.dtype.itemsize < 4
