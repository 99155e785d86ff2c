"""Every table of a run as CSV or Parquet, a file each."""

from pathlib import Path

import pandas as pd

from sae_audit.record.layout import make_folder, write_file
from sae_audit.record.run import TABLES, Run


def write_csv(run: Run, folder: Path) -> list[Path]:
    """The files written: `NAME.csv` for each table of `record.run.TABLES`, empty ones too."""
    make_folder(folder)
    written: list[Path] = []
    for name in TABLES:
        path = folder / f"{name}.csv"
        write_file(path, run.table(name).to_csv(index=False).encode())
        written.append(path)
    return written


def write_parquet(run: Run, folder: Path) -> list[Path]:
    """The files written: `NAME.parquet` for each table; lists and sets of features as text."""
    make_folder(folder)
    written: list[Path] = []
    for name in TABLES:
        path = folder / f"{name}.parquet"
        write_file(path, _plain(run.table(name)).to_parquet(index=False))
        written.append(path)
    return written


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """The table with every object that is no text written as text: a column of a file has one type."""
    return table.apply(
        lambda column: (
            column.map(lambda one: one if isinstance(one, str) or one is None else str(one))
            if column.dtype == object
            else column
        )
    )
