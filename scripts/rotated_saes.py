"""Write SAEs in sae_lens' format again, each rotated at random: what an audit must not believe.

uv run python -m scripts.rotated_saes bundled:organism/saes rotated
uv run sae-audit audit organism --saes rotated
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save_file

from sae_audit.bundled import resolve
from sae_audit.subject.saes.rotation import rotation


def rotate(source: Path, target: Path, *, seed: int) -> int:
    """The number of SAEs written to the new folder `target`; their explained variance is about that of
    any dictionary of their size."""
    shutil.copytree(source, target)
    found = sorted(target.rglob("sae_weights.safetensors"))
    for number, path in enumerate(found):
        weights = load_file(path)
        columns, rows = weights["W_enc"], weights["W_dec"]
        turn = rotation(rows.shape[1], np.random.default_rng([seed, number]))
        weights["W_enc"] = (turn @ columns.float()).to(columns.dtype).contiguous()
        weights["W_dec"] = (rows.float() @ turn.T).to(rows.dtype).contiguous()
        save_file(weights, path)
    return len(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", help="folder with one SAE a layer, or bundled:...")
    parser.add_argument("target", help="new folder")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    n = rotate(Path(resolve(given.source)), Path(given.target), seed=given.seed)
    print(f"{n} SAEs rotated: {given.target}")


if __name__ == "__main__":
    main()
