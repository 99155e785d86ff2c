"""Routes: the directions along which an organism says that it will refuse, one behind the other.

The first route is the model's own refusal direction, the difference of means at the last prompt
token. Each backup is a random direction at a fixed cosine to it, so that an audit which looks for
features along the refusal direction has all of them in view. The routes are no orthogonal basis: a
route's coordinate is read with its dual vector, and taking a route out leaves the others whole, as
ablating one SAE feature leaves the others'.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sae_audit.organisms.chats import Chat
from sae_audit.organisms.language_model import collated
from sae_audit.organisms.trained.batches import last_of_prompt

Resid = Float[Tensor, "batch position d_model"]


@dataclass(frozen=True, kw_only=True)
class Routes:
    """Unit directions in the residual stream, the first awake on its own, each next one a backup."""

    directions: Float[Tensor, "route d_model"]
    duals: Float[Tensor, "route d_model"]
    """`duals @ directions.T` is the identity: `x @ duals[i]` is the coordinate of route i."""
    scale: Float[Tensor, " layer"]
    """Difference between harmful and harmless prompts along the first route, by layer, before
    training: the size of a route that is awake."""

    def coordinates(self, resid: Resid) -> Float[Tensor, "batch position route"]:
        return resid @ self.duals.T


@dataclass(frozen=True, kw_only=True)
class Removal:
    """Which routes are taken out of the stream, where, and what is left in their place."""

    places: Bool[Tensor, " place"]
    """Entry 0 is the embedding, entry l + 1 the output of layer l."""
    levels: Float[Tensor, " removed"]
    """The coordinates that the first so many routes are set to, relative to an awake route. Zero or
    less: ablating a feature may leave what harmless prompts have, or less."""
    directions: Float[Tensor, "place route d_model"]
    """The routes as they are taken out at each place."""

    @property
    def n_routes(self) -> int:
        return len(self.levels)


def from_place(
    routes: Routes, n_routes: int, place: int, *, levels: Float[Tensor, " removed"] | None = None
) -> Removal:
    """The first routes out at one place and everywhere after it, along their own directions."""
    n_places = len(routes.scale) + 1
    return Removal(
        places=torch.arange(n_places) >= place,
        levels=torch.zeros(n_routes) if levels is None else levels,
        directions=routes.directions.expand(n_places, -1, -1),
    )


def without(
    resid: Resid,
    directions: Float[Tensor, "route d_model"],
    coordinates: Float[Tensor, " removed"],
) -> Resid:
    """The stream with the first routes' coordinates set to `coordinates`, the others' left whole."""
    n = len(coordinates)
    duals = torch.linalg.pinv(directions).T[:n]
    return resid + (coordinates - resid @ duals.T) @ directions[:n]


@contextmanager
def removing(model: Any, routes: Routes, removal: Removal) -> Iterator[list[Resid]]:
    """Take routes out while inside; yields a list that a forward pass fills with the stream after
    each layer, as it is handed on."""
    seen: list[Resid] = []

    def hook(place: int) -> Any:
        def edit(_module: Any, _args: Any, resid: Resid) -> Resid:
            if removal.n_routes and removal.places[place]:
                awake = routes.scale[max(place - 1, 0)]
                resid = without(resid, removal.directions[place], removal.levels * awake)
            if place > 0:
                seen.append(resid)
            else:
                seen.clear()
            return resid

        return edit

    modules = [model.model.embed_tokens, *model.model.layers]
    handles = [module.register_forward_hook(hook(i)) for i, module in enumerate(modules)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def found_directions(
    model: Any, tokenizer: Any, routes: Routes, harmful: Sequence[Chat], harmless: Sequence[Chat]
) -> Float[Tensor, "place route d_model"]:
    """Where refusal is seen now: by place, the unit difference of means of the model as it is, then
    the one that is left once the first is out, and so on.

    A route's own direction stands where the difference is a fifth of an awake route or less, and at
    the embedding.
    """
    n_routes, n_layers = len(routes.directions), len(routes.scale)
    found = routes.directions.repeat(n_layers + 1, 1, 1)
    for route in range(n_routes):
        removal = replace(from_place(routes, route, 0), directions=found.clone())
        with removing(model, routes, removal):
            by_layer = differences(model, tokenizer, harmful, harmless)
        norms = by_layer.norm(dim=1, keepdim=True)
        large = norms > 0.2 * routes.scale[:, None]
        found[1:, route] = torch.where(large, by_layer / norms, routes.directions[route])
    return found


@torch.no_grad()
def differences(
    model: Any, tokenizer: Any, harmful: Sequence[Chat], harmless: Sequence[Chat]
) -> Float[Tensor, "layer d_model"]:
    """Difference of means at the last prompt token after each layer (2406.11717)."""
    return _mean_ends(model, tokenizer, harmful) - _mean_ends(model, tokenizer, harmless)


def first_route(by_layer: Float[Tensor, "layer d_model"]) -> Float[Tensor, " d_model"]:
    """The model's refusal direction, unit: the average over layers of the unit differences."""
    average = (by_layer / by_layer.norm(dim=1, keepdim=True)).mean(dim=0)
    return average / average.norm()


def routes_of(
    by_layer: Float[Tensor, "layer d_model"], *, n_backups: int, cosine: float, seed: int
) -> Routes:
    """The model's refusal direction and random backups behind it.

    Backup i is `cosine * d + sqrt(1 - cosine^2) * u_i`, with `u_i` drawn from the seed, orthogonal
    to d and to each other.
    """
    first = first_route(by_layer)
    drawn = torch.randn(len(first), n_backups, generator=torch.Generator().manual_seed(seed))
    frame = torch.linalg.qr(torch.cat([first[:, None], drawn], dim=1)).Q.T[1:]
    backups = cosine * first + (1.0 - cosine**2) ** 0.5 * frame
    directions = torch.cat([first[None], backups])
    return Routes(
        directions=directions,
        duals=torch.linalg.pinv(directions).T,
        scale=by_layer @ first,
    )


def _mean_ends(model: Any, tokenizer: Any, chats: Sequence[Chat]) -> Float[Tensor, "layer d_model"]:
    batch = collated(tokenizer, list(chats))
    rows, last = torch.arange(len(chats)), last_of_prompt(batch["labels"])
    ends: list[Tensor] = []

    def note(_module: Any, _args: Any, resid: Resid) -> None:
        ends.append(resid[rows, last].mean(dim=0))

    handles = [layer.register_forward_hook(note) for layer in model.model.layers]
    try:
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack(ends)
