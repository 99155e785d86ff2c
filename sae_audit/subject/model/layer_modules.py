"""Modules through which decoder layers write to the residual stream, found by perturbing them.

No module names are assumed. The layers are the list of modules next to the embeddings that has the
length given by the config. A module of a layer writes to the stream if, with all later writers
fixed, a change of its output shows unaltered (up to a factor) in the layer's output. With every
writer fixed, the layer's output must be its input (up to a factor) plus a constant: then nothing else
writes. Inputs and changes are random and of order one, so that 16-bit rounding does not hide them.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sae_audit.errors import AuditError
from sae_audit.subject.model.hooks import (
    Edit,
    LayerCall,
    LayerModules,
    Resid,
    edited,
    stream_in,
    watched,
)
from sae_audit.untrusted import shown

_Written = Float[Tensor, "*row d_model"]
"""A module's addition to the residual stream; some modules have all positions in one row."""
_ATTENTION = ("sdpa", "eager")
_N_TOKENS = 6
_LOUD = 30.0
"""Factor by which every other position of a random change is larger, so that a norm would alter it."""
FAILURES = (
    RuntimeError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    AssertionError,
)
"""Exceptions that a layer may raise if arguments are missing."""

_found: WeakKeyDictionary[nn.Module, list[LayerModules]] = WeakKeyDictionary()


def decoder_layers_of(model: Any) -> nn.ModuleList:
    """The decoder layers of a Hugging Face causal LM, in order.

    Raises:
        AuditError: no list of modules has the length that the config gives.
    """
    return decoder_of(model)[1]


def decoder_of(model: Any) -> tuple[nn.Module, nn.ModuleList]:
    """The innermost module that holds both token embeddings and decoder layers, and the layers."""
    embedding = model.get_input_embeddings()
    n_layers = model.config.get_text_config().num_hidden_layers
    name = next((name for name, module in model.named_modules() if module is embedding), "")
    while name:
        name = name.rpartition(".")[0]
        holder = model.get_submodule(name)
        lists = [
            (inner.count("."), module)
            for inner, module in holder.named_modules()
            if isinstance(module, nn.ModuleList) and len(module) == n_layers
        ]
        if lists:
            return holder, min(lists, key=lambda item: item[0])[1]
    raise AuditError(
        f"{type(model).__name__} keeps no list of {n_layers} decoder layers beside its token "
        "embeddings; an audit needs a decoder-only language model such as Gemma-2 or Llama."
    )


def layer_modules(model: Any) -> list[LayerModules]:
    """The decoder layers of a Hugging Face causal LM, in order, with the modules that write there.

    In the Gemma-2 or GLM-4 block the output of a norm after attention or MLP is added to the residual
    stream. (Arditi et al. hook the modules before that norm; projecting there would leave part of the
    direction.) Found once per model, by a short pass.

    Raises:
        AuditError: the layers cannot be found, or one adds to the stream in an unforeseen way.
    """
    layers = decoder_layers_of(model)
    known = _found.get(model)
    if known is None or [own.layer for own in known] != list(layers):
        try:
            known = _found[model] = _modules_of(model, layers)
        except torch.OutOfMemoryError:
            raise
        except FAILURES as error:
            reason = shown((str(error).strip() or "?").splitlines()[0])
            raise AuditError(
                f"{type(model).__name__} cannot be run on a short prompt ({type(error).__name__}: "
                f"{reason}); check that its config is whole."
            ) from error
    return known


def check_attention(model: Any) -> None:
    """Check the model's attention implementation.

    Raises:
        AuditError: the model's attention implementation cannot be run on part of a prompt.
    """
    attention = model.config.get_text_config()._attn_implementation
    if attention not in _ATTENTION:
        raise AuditError(
            f"The model runs with {attention} attention, which takes no mask for part of a prompt; "
            f"load it with attn_implementation {' or '.join(_ATTENTION)}."
        )


@torch.no_grad()
def _modules_of(model: Any, layers: nn.ModuleList) -> list[LayerModules]:
    check_attention(model)
    ids = probe_ids(model, _N_TOKENS)
    with watched(layers) as calls:
        logits = model(input_ids=ids[None], use_cache=False).logits
    check_calls(model, layers, calls, ids)
    check_finite(model, calls, logits)
    # Layers of the same modules are alike: only the first of each kind is analysed.
    known: dict[tuple[Any, ...], _Named] = {}
    modules: list[LayerModules] = []
    for i, (layer, call) in enumerate(calls):
        kind = tuple((name, type(module)) for name, module in layer.named_modules())
        if kind not in known:
            known[kind] = _Layer(layer, call).named(f"layer {i} of {type(model).__name__}")
        modules.append(_at(layer, known[kind]))
    return modules


def probe_ids(model: Any, n: int) -> Int[Tensor, " position"]:
    """`n` token ids spread over the vocabulary, without those that the config names as special."""
    config = model.config.get_text_config()
    given = {**model.config.to_dict(), **config.to_dict()}
    special = {given[name] for name in given if "token_i" in name and isinstance(given[name], int)}
    size = model.get_input_embeddings().weight.shape[0]
    spread = [(7 + i * (size // (n + 2) or 1)) % size for i in range(n + len(special))]
    usual = [token for token in spread if token not in special] or spread
    return torch.tensor((usual * n)[:n], device=model.device)


def check_calls(
    model: Any,
    layers: nn.ModuleList,
    calls: list[tuple[nn.Module, LayerCall]],
    ids: Int[Tensor, " position"],
) -> None:
    """Check that one residual stream passes through all layers in order.

    Raises:
        AuditError: layers are called in another way, or the stream is changed between them.
    """
    kind = type(model).__name__
    if [module for module, _ in calls] != list(layers):
        raise AuditError(
            f"{kind} cannot be audited: its {len(layers)} layers are not run once each in their order."
        )
    width = model.config.get_text_config().hidden_size
    for i, (_, call) in enumerate(calls):
        for stream in (call.stream, call.resid_post):
            if not isinstance(stream, Tensor) or tuple(stream.shape) != (1, len(ids), width):
                shape = tuple(getattr(stream, "shape", ()))
                raise AuditError(
                    f"{kind} cannot be audited: layer {i} works on a stream of shape {shape}; one of "
                    f"(1, {len(ids)}, {width}) is needed."
                )
        for name, value in call.others.items():
            if isinstance(value, Mapping) and value:
                raise AuditError(
                    f"{kind} cannot be audited: its layers share what they are handed as {name}, so "
                    "that they cannot be run one by one."
                )
    for i in range(1, len(calls)):
        before, after = calls[i - 1][1].resid_post, calls[i][1].stream
        if not torch.equal(before.to(after.device), after):
            raise AuditError(
                f"{kind} cannot be audited: the stream is changed between layers {i - 1} and {i}."
            )


def check_finite(
    model: Any, calls: list[tuple[nn.Module, LayerCall]], logits: Float[Tensor, "..."]
) -> None:
    """Check that residual stream and logits are finite.

    Raises:
        AuditError: one of them holds a NaN or an infinite number.
    """
    dtype = str(model.dtype).removeprefix("torch.")
    streams = {f"The stream behind layer {i}": one.resid_post for i, (_, one) in enumerate(calls)}
    for name, numbers in {**streams, "A logit": logits}.items():
        if not numbers.isfinite().all():
            raise AuditError(
                f"{name} of {type(model).__name__} is not finite in {dtype}; load it with another "
                "--dtype, and if that does not help, its weights are broken."
            )


class _Named:
    """A layer's writers, as names of its modules."""

    def __init__(self, attention: str, mlp: str, others: list[str], feed_forward: str | None):
        self.attention, self.mlp, self.others = attention, mlp, others
        self.feed_forward = feed_forward


def _at(layer: nn.Module, named: _Named) -> LayerModules:
    return LayerModules(
        layer=layer,
        attention=layer.get_submodule(named.attention),
        mlp=layer.get_submodule(named.mlp),
        others=tuple(layer.get_submodule(name) for name in named.others),
        feed_forward=None
        if named.feed_forward is None
        else layer.get_submodule(named.feed_forward),
    )


class _Layer:
    """One decoder layer, run alone on a random input with outputs of its modules changed."""

    def __init__(self, layer: nn.Module, call: LayerCall) -> None:
        self._layer, self._others = layer, call.others
        self._random = torch.Generator().manual_seed(0)
        self._like = call.stream
        self._resid, self._change = self._draw(), self._draw()
        self._rough = call.stream.dtype.itemsize < 4
        self._ended = self._calls()

    def named(self, where: str) -> _Named:
        """The layer's writers; attention is the one that mixes positions.

        Raises:
            AuditError: the modules' outputs do not add up to the layer's change of its input.
        """
        fixed: dict[nn.Module, Edit] = {}
        self._search(self._layer, fixed)
        if self._passes_on(self._resid_effect(fixed)) is not True:
            raise AuditError(
                f"{where} cannot be audited: its output is not the stream it was given plus what "
                "modules of it add."
            )
        writers = [module for module in self._ended if module in fixed]
        mixing = [module for module in writers if self._mixes(module, fixed)]
        apart = [module for module in writers if module not in mixing]
        if not mixing and len(apart) > 1:
            # Zero weights (a pruned layer), or each position attends only to itself.
            mixing = self._behind_attention(apart)
            apart = [module for module in apart if module not in mixing]
        if not mixing or not apart:
            lacking = "mixes positions" if apart else "works on each position apart"
            raise AuditError(
                f"{where} cannot be audited: of its {len(writers)} modules that add to the stream none "
                f"{lacking}; attention and an MLP are needed in each layer."
            )
        names = {module: name for name, module in self._layer.named_modules()}
        alone = self._runs_alone()
        return _Named(
            names[mixing[0]],
            names[apart[0]],
            [names[module] for module in (*mixing[1:], *apart[1:])],
            None if alone is None else names[alone],
        )

    def _search(self, module: nn.Module, fixed: dict[nn.Module, Edit]) -> None:
        """Find the writers among a module's parts, last one first, and fix their outputs."""
        for part in sorted(_parts(module, self._ended), key=self._ended.index, reverse=True):
            # A dropout passes on the output of the module before it.
            if isinstance(part, nn.Dropout | nn.Identity) or not self._is_stream(part):
                continue
            effect = self._run(fixed | {part: self._plus}) - self._run(fixed)
            if self._passes_on(effect) is not True:
                continue
            fixed[part] = self._constant()
            if self._passes_on(self._resid_effect(fixed)) is None:
                # The stream itself passes through this part: its writers are inside it.
                del fixed[part]
                self._search(part, fixed)

    def _passes_on(self, effect: Resid) -> bool | None:
        """Whether a change came through unaltered up to a factor; None if nothing came through."""
        effect, change = effect.double(), self._change.double()
        size = change.norm()
        if effect.norm() <= (1e-2 if self._rough else 1e-6) * size:
            return None
        factor = (effect * change).sum() / size**2
        off = (effect - factor * change).norm()
        return bool(off <= (0.1 if self._rough else 1e-3) * factor.abs() * size)

    def _mixes(self, writer: nn.Module, fixed: Mapping[nn.Module, Edit]) -> bool:
        """Whether a writer's output at one position depends on earlier positions."""
        changed = self._resid.clone()
        changed[:, 0] += self._change[:, 0]
        before, after = self._added(writer, fixed, self._resid, changed)
        bound = (1e-2 if self._rough else 1e-5) * float(before.abs().max())
        return float((after - before)[:, 1:].abs().max()) > bound

    def _behind_attention(self, writers: list[nn.Module]) -> list[nn.Module]:
        """The first writer at or after the module that gets more arguments than a stream (mask, cache):
        only attention does. Empty if no module does."""
        first = next((i for i, module in enumerate(self._ended) if module in self._guided), None)
        return [] if first is None else [m for m in writers if self._ended.index(m) >= first][:1]

    def _added(
        self, writer: nn.Module, fixed: Mapping[nn.Module, Edit], *streams: Resid
    ) -> list[Resid]:
        """Output of a writer for each of these inputs, with the other writers fixed."""
        others = {module: edit for module, edit in fixed.items() if module is not writer}
        seen: list[Resid] = []

        def note(output: _Written) -> _Written:
            seen.append(output.reshape(self._like.shape))
            return output

        for resid in streams:
            self._run(others | {writer: note}, resid)
        return seen

    def _runs_alone(self) -> nn.Module | None:
        """The largest part that runs on the last position alone; None if no part does."""
        whole = self._run({})[:, -1:]
        sizes: dict[nn.Module, int] = {}
        for part in _parts(self._layer, self._ended):
            size = sum(parameter.numel() for parameter in part.parameters())
            if not size:
                continue
            try:
                # Rotary embeddings may turn one key into several beside one value; cuDNN's kernel,
                # unlike this one, does not check lengths and ends the process.
                with (
                    sdpa_kernel(SDPBackend.MATH),
                    edited(inputs={part: lambda resid: resid[:, -1:]}),
                ):
                    alone = self._run({})
            except FAILURES:
                continue
            bound = (0.05 if self._rough else 1e-4) * float(whole.abs().max())
            if float((alone[:, -1:] - whole).abs().max()) <= bound:
                sizes[part] = size
        return max(sizes, key=lambda part: sizes[part]) if sizes else None

    def _resid_effect(self, fixed: Mapping[nn.Module, Edit]) -> Resid:
        return self._run(fixed, self._resid + self._change) - self._run(fixed)

    def _run(self, outputs: Mapping[nn.Module, Edit], resid: Resid | None = None) -> Resid:
        with edited(outputs=outputs):
            # A copy: some layers change their input in place.
            given = (self._resid if resid is None else resid).clone()
            return stream_in(self._layer(given, **self._others))

    def _calls(self) -> list[nn.Module]:
        """Modules in the layer that are called exactly once, in the order in which they end."""
        ended: list[nn.Module] = []
        self._outputs: dict[nn.Module, Any] = {}
        self._guided: set[nn.Module] = set()

        def note(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
            ended.append(module)
            self._outputs[module] = stream_in(output)
            given = [one for one in (*args, *kwargs.values()) if isinstance(one, Tensor | tuple)]
            if len(given) > 1:
                self._guided.add(module)

        inner = [module for module in self._layer.modules() if module is not self._layer]
        handles = [module.register_forward_hook(note, with_kwargs=True) for module in inner]
        try:
            self._run({})
        finally:
            for handle in handles:
                handle.remove()
        return [module for module in ended if ended.count(module) == 1]

    def _is_stream(self, module: nn.Module) -> bool:
        output = self._outputs[module]
        width, size = self._like.shape[-1], self._like.numel()
        return isinstance(output, Tensor) and output.shape[-1] == width and output.numel() == size

    def _plus(self, output: _Written) -> _Written:
        return output + self._change.reshape(output.shape).to(output.dtype)

    def _constant(self) -> Edit:
        drawn = self._draw()
        # A copy: some layers change a module's output in place.
        return lambda output: drawn.reshape(output.shape).to(output.dtype, copy=True)

    def _draw(self) -> Resid:
        drawn = torch.randn(self._like.shape, generator=self._random)
        drawn[:, 1::2] *= _LOUD
        return drawn.to(self._like)


def _parts(module: nn.Module, called: list[nn.Module]) -> Iterator[nn.Module]:
    """The called modules directly in `module`; containers that are not called are searched."""
    for child in module.children():
        if child in called:
            yield child
        elif not isinstance(child, nn.Linear):
            yield from _parts(child, called)
