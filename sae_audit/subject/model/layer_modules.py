"""Where a model's decoder layers meet the residual stream, found by what modules do.

No names are known here. The layers are the list of modules beside the embeddings that is as long as
the config says. What writes to the stream within a layer is found by trying: a change of a module's
output shows in the layer's output unaltered (but for a factor) if the module's output is added to
the stream, all later writers held fixed. With every writer held fixed, the layer's output must be the
stream it was given (but for a factor) plus a constant: then nothing else writes. Streams and changes
are random and of order one, so that the rounding of 16-bit weights does not hide what is added.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

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
"""What a module adds to the stream; some have all positions in one row."""
_ATTENTION = ("sdpa", "eager")
_N_TOKENS = 6
_LOUD = 30.0
"""Every other position of a random change is so much larger: a norm would not pass it on as it is."""
FAILURES = (
    RuntimeError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    AssertionError,
)
"""What a layer that is called with too little may raise."""

_found: WeakKeyDictionary[nn.Module, list[LayerModules]] = WeakKeyDictionary()


def decoder_layers_of(model: Any) -> nn.ModuleList:
    """The decoder layers of a Hugging Face causal LM, in order.

    Raises:
        AuditError: the model keeps no list of as many layers as its config says.
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
    """The decoder layers of a Hugging Face causal LM, in order, and what writes to the stream there.

    In the Gemma-2 or GLM-4 block a norm stands between attention or MLP and the stream; what is added
    to the stream is that norm's output. (Arditi et al. hook the modules before it; projecting there
    would leave part of the direction in the stream.) Found once for each model, by a short pass.

    Raises:
        AuditError: the model keeps its layers, or a layer adds to the stream, in a way not foreseen.
    """
    layers = decoder_layers_of(model)
    known = _found.get(model)
    if known is None or [place.layer for place in known] != list(layers):
        try:
            known = _found[model] = _places(model, layers)
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
    """
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
def _places(model: Any, layers: nn.ModuleList) -> list[LayerModules]:
    check_attention(model)
    ids = probe_ids(model, _N_TOKENS)
    with watched(layers) as calls:
        logits = model(input_ids=ids[None], use_cache=False).logits
    check_calls(model, layers, calls, ids)
    check_finite(model, calls, logits)
    # Layers made of the same modules are alike: one of them is taken apart, the others follow.
    known: dict[tuple[Any, ...], _Named] = {}
    places: list[LayerModules] = []
    for i, (layer, call) in enumerate(calls):
        kind = tuple((name, type(module)) for name, module in layer.named_modules())
        if kind not in known:
            known[kind] = _Layer(layer, call).named(f"layer {i} of {type(model).__name__}")
        places.append(_at(layer, known[kind]))
    return places


def probe_ids(model: Any, n: int) -> Int[Tensor, " position"]:
    """Tokens spread over the vocabulary, none of which the config names as special."""
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
    """Make sure that one stream goes through all layers, one after the other.

    Raises:
        AuditError: layers are called otherwise, or the stream is changed between them.
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
    """
    Raises:
        AuditError: the stream or the logits hold a NaN or an infinite number.
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
    """Modules of a layer by their names in it."""

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
    """One decoder layer, run apart on a random stream with outputs of its modules changed."""

    def __init__(self, layer: nn.Module, call: LayerCall) -> None:
        self._layer, self._others = layer, call.others
        self._random = torch.Generator().manual_seed(0)
        self._like = call.stream
        self._resid, self._change = self._draw(), self._draw()
        self._rough = call.stream.dtype.itemsize < 4
        self._ended = self._calls()

    def named(self, where: str) -> _Named:
        """Its writers, told apart by whether they mix positions.

        Raises:
            AuditError: modules' outputs do not add up to what the layer does.
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
            # Weights of zero (a pruned layer), or attention to each position's own alone.
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
        """Find writers among a module's parts, the last first, and hold them fixed."""
        for part in sorted(_parts(module, self._ended), key=self._ended.index, reverse=True):
            # A dropout hands on what the module before it writes.
            if isinstance(part, nn.Dropout | nn.Identity) or not self._is_stream(part):
                continue
            effect = self._run(fixed | {part: self._plus}) - self._run(fixed)
            if self._passes_on(effect) is not True:
                continue
            fixed[part] = self._constant()
            if self._passes_on(self._resid_effect(fixed)) is None:
                # The stream itself went through it: what it adds is within.
                del fixed[part]
                self._search(part, fixed)

    def _passes_on(self, effect: Resid) -> bool | None:
        """Whether a change came through unaltered but for a factor; None if nothing came through."""
        effect, change = effect.double(), self._change.double()
        size = change.norm()
        if effect.norm() <= (1e-2 if self._rough else 1e-6) * size:
            return None
        factor = (effect * change).sum() / size**2
        off = (effect - factor * change).norm()
        return bool(off <= (0.1 if self._rough else 1e-3) * factor.abs() * size)

    def _mixes(self, writer: nn.Module, fixed: Mapping[nn.Module, Edit]) -> bool:
        """Whether what it adds at one position depends on the stream at earlier ones."""
        changed = self._resid.clone()
        changed[:, 0] += self._change[:, 0]
        before, after = self._added(writer, fixed, self._resid, changed)
        bound = (1e-2 if self._rough else 1e-5) * float(before.abs().max())
        return float((after - before)[:, 1:].abs().max()) > bound

    def _behind_attention(self, writers: list[nn.Module]) -> list[nn.Module]:
        """The first writer at or behind a module that is handed more than a stream (where to look, and
        what was seen there): only attention is. None if no module is."""
        first = next((i for i, module in enumerate(self._ended) if module in self._guided), None)
        return [] if first is None else [m for m in writers if self._ended.index(m) >= first][:1]

    def _added(
        self, writer: nn.Module, fixed: Mapping[nn.Module, Edit], *streams: Resid
    ) -> list[Resid]:
        """What it adds to each of these streams, the other writers held fixed."""
        others = {module: edit for module, edit in fixed.items() if module is not writer}
        seen: list[Resid] = []

        def note(output: _Written) -> _Written:
            seen.append(output.reshape(self._like.shape))
            return output

        for resid in streams:
            self._run(others | {writer: note}, resid)
        return seen

    def _runs_alone(self) -> nn.Module | None:
        """The largest part that can be given the last position alone, the others left as they are."""
        whole = self._run({})[:, -1:]
        sizes: dict[nn.Module, int] = {}
        for part in _parts(self._layer, self._ended):
            size = sum(parameter.numel() for parameter in part.parameters())
            if not size:
                continue
            try:
                with edited(inputs={part: lambda resid: resid[:, -1:]}):
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
            # Some layers change their input in place.
            given = (self._resid if resid is None else resid).clone()
            return stream_in(self._layer(given, **self._others))

    def _calls(self) -> list[nn.Module]:
        """Modules in the layer that are called just once, in the order in which they end."""
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
        # A copy: some layers add to what a module gave them in place.
        return lambda output: drawn.reshape(output.shape).to(output.dtype, copy=True)

    def _draw(self) -> Resid:
        drawn = torch.randn(self._like.shape, generator=self._random)
        drawn[:, 1::2] *= _LOUD
        return drawn.to(self._like)


def _parts(module: nn.Module, called: list[nn.Module]) -> Iterator[nn.Module]:
    """Modules directly in one that are called; those that only hold others are looked into."""
    for child in module.children():
        if child in called:
            yield child
        elif not isinstance(child, nn.Linear):
            yield from _parts(child, called)
