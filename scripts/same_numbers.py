"""Do two records hold the same numbers? For a change of the code that must not change what is found.

    uv run python -m scripts.same_numbers OLD_RUN NEW_RUN [--renamed old_stage=new_stage]...

Rows of `run.sqlite` are compared one by one, stage by stage and prompt by prompt: every number of the
old row, digit for digit and as often as it stands there, must be in the new one. Names of fields are
not compared, so that a record can be held against one from before they were renamed. What only the
new row has is listed and is no fault; costs are not compared. Exit code 1 if a number changed.
"""

import argparse
import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

_SHOWN = 20
"""Rows listed at most."""

Rows = dict[tuple[str, str], Counter[str]]
"""By stage and key, how often each number, text or truth value stands in the row."""


def rows(run: Path, renamed: Mapping[str, str]) -> Rows:
    """Everything that a run's record holds, but for its costs."""
    connection = sqlite3.connect(f"file:{run / 'run.sqlite'}?mode=ro", uri=True)
    try:
        found = connection.execute("SELECT stage, key, payload FROM records").fetchall()
    finally:
        connection.close()
    return {
        (renamed.get(stage, stage), key): Counter(_leaves(json.loads(payload)))
        for stage, key, payload in found
    }


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one)
    elif isinstance(value, (int, float)):
        # `repr` keeps every digit; a truth value is no number.
        yield repr(value)


def differences(old: Rows, new: Rows) -> tuple[list[str], list[str]]:
    """What the old rows hold and the new ones do not, and the other way round, a line each."""
    lost, added = list[str](), list[str]()
    only_rows = {stage for stage, _ in new} - {stage for stage, _ in old}
    by_stage = {stage: Counter[str]() for stage, _ in (*old, *new)}
    for (stage, key), numbers in old.items():
        own = new.get((stage, key))
        if own is None:
            # A stage with one row may have given it another key.
            others = [row for (name, _), row in new.items() if name == stage]
            own = others[0] if len(others) == 1 else None
        missing = numbers - (own or Counter())
        if own is None or missing:
            shown = ", ".join(list(missing)[:3])
            lost.append(
                f"{stage} {key}: {missing.total()}, {shown}" if own else f"{stage} {key}: gone"
            )
        by_stage[stage] += (own or Counter()) - numbers
    for stage, more in by_stage.items():
        if stage in only_rows:
            added.append(f"{stage}: a new stage")
        elif more:
            added.append(f"{stage}: {more.total()} more")
    return lost, added


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--renamed", action="append", default=[])
    arguments = parser.parse_args()
    renamed = dict(one.split("=", 1) for one in arguments.renamed)
    old, new = rows(arguments.old, renamed), rows(arguments.new, {})
    lost, added = differences(old, new)
    n_numbers = sum(row.total() for row in old.values())
    print(f"{len(old)} rows, {n_numbers:,} numbers; {len(lost)} rows differ")
    for line in lost[:_SHOWN]:
        print("changed:", line)
    for line in added:
        print("new:", line)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
