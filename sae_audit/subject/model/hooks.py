"""Forward hooks on decoder layers; no other file attaches or removes them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

Resid = Float[Tensor, "batch position d_model"]
Edit = Callable[[Resid], Resid]
"""A pure function of the residual stream at one place."""


@dataclass(frozen=True, kw_only=True)
class LayerModules:
    """Modules through which a decoder layer reads and writes the residual stream."""

    layer: nn.Module
    """The layer; its output is `resid_post`."""
    attention: nn.Module
    """The module whose output is attention's addition to the residual stream."""
    mlp: nn.Module
    """The module whose output is the MLP's addition to the residual stream."""
    others: tuple[nn.Module, ...] = ()
    """Other modules whose outputs are added to the residual stream."""
    feed_forward: nn.Module | None
    """The MLP itself, which can be run on the last position alone; None if no module can."""

    @property
    def writers(self) -> tuple[nn.Module, ...]:
        """All modules whose outputs are added to the residual stream, possibly times a factor."""
        return (self.attention, self.mlp, *self.others)


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerCall:
    """Arguments of one decoder layer in a pass through the whole model."""

    stream: Tensor
    """The first argument: in a model that can be audited, the residual stream."""
    others: Mapping[str, Any]
    """Every other argument, by name."""
    output: Any

    @property
    def resid_post(self) -> Any:
        return stream_in(self.output)


def stream_in(output: Any) -> Any:
    """The residual stream in the output of a layer or part: the output itself or its first entry."""
    return output[0] if isinstance(output, tuple | list) else output


@contextmanager
def watched(layers: Iterable[nn.Module]) -> Iterator[list[tuple[nn.Module, LayerCall]]]:
    """The list of the modules' calls inside the block, in the order in which they end."""
    calls: list[tuple[nn.Module, LayerCall]] = []

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        stream, others = _named(module, args, kwargs)
        calls.append((module, LayerCall(stream=stream, others=others, output=output)))

    with ExitStack() as hooks:
        for layer in layers:
            hooks.callback(layer.register_forward_hook(note, with_kwargs=True).remove)
        yield calls


def _named(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """The first argument, and the others by name."""
    bound = signature(module.forward).bind(*args, **kwargs)
    named: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        if bound.signature.parameters[name].kind is Parameter.VAR_KEYWORD:
            named |= value
        else:
            named[name] = value
    first = next(iter(named))
    return named.pop(first), named


@contextmanager
def edited(
    *,
    inputs: Mapping[nn.Module, Edit] | None = None,
    outputs: Mapping[nn.Module, Edit] | None = None,
) -> Iterator[None]:
    """Apply edits to module inputs and outputs inside the block; every hook comes off on any exit."""
    with ExitStack() as hooks:
        for module, edit in (inputs or {}).items():
            handle = module.register_forward_pre_hook(_on_input(edit), with_kwargs=True)
            hooks.callback(handle.remove)
        for module, edit in (outputs or {}).items():
            hooks.callback(module.register_forward_hook(_on_output(edit)).remove)
        yield


def _on_input(edit: Edit) -> Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]:
    def hook(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (edit(args[0]), *args[1:]), kwargs
        first = next(iter(signature(module.forward).parameters))
        return args, {**kwargs, first: edit(kwargs[first])}

    return hook


def _on_output(edit: Edit) -> Callable[..., Any]:
    # Some modules and versions return a tensor, others a tuple that starts with it.
    def hook(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, tuple | list):
            changed = (edit(output[0]), *output[1:])
            return list(changed) if isinstance(output, list) else changed
        return edit(output)

    return hook
