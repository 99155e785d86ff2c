"""Does the planted reserve hold? Refusals in text with the directions of `safe` projected out.

    uv run --extra smollm2 python -m benchmarks.smollm2_reserve

The adapter `backup` was trained while these directions, one a layer, were out. If it holds a reserve,
it refuses then, and `safe` does not. Held-out harmful requests and their twins, 60 each.
"""

from copy import deepcopy
from dataclasses import replace

from sae_audit.bundled import resolve
from sae_audit.organisms.smollm2 import measured
from sae_audit.organisms.smollm2.adapters import tuned_by
from sae_audit.organisms.smollm2.base import load_base
from sae_audit.organisms.smollm2.behind import refusal_directions, without

N = 60


def main() -> None:
    base = load_base()
    tuned = {
        name: tuned_by(
            replace(base, network=deepcopy(base.network)), resolve(f"bundled:smollm2/{name}")
        )
        for name in ("safe", "backup")
    }
    directions = refusal_directions(base, tuned["safe"])
    for name, network in tuned.items():
        for group in measured.held_out_groups(N):
            if group.name not in ("harmful", "twins"):
                continue
            whole = measured.refused_in_text(base, network, group)
            with without(network, directions):
                out = measured.refused_in_text(base, network, group)
            print(
                f"{name}, {group.name}: refuses {round(whole.value * whole.n)} of {whole.n}, "
                f"with the directions out {round(out.value * out.n)} "
                f"[{out.low:.0%}, {out.high:.0%}]"
            )


if __name__ == "__main__":
    main()
