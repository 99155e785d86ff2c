"""Where the features that a comparison names can be read: on the page of a run."""

import re
from collections.abc import Sequence
from os.path import relpath
from pathlib import Path
from urllib.parse import quote

from sae_audit.record.layout import PAGE, disk_errors

_MOST_UP = 2
"""Folders that a link leads up at most: pages that lie far apart are not handed on together."""
_ADDRESS = re.compile(r'\bid="(L\d{1,4}/\d{1,8})"')


def addresses(runs: Sequence[Path], folder: Path) -> dict[str, str]:
    """The address of every feature that has one on a page of these runs, seen from a page in `folder`;
    of several the first run's. Runs without a page, or far from the folder, have none."""
    found: dict[str, str] = {}
    for run in reversed(runs):
        path = Path(relpath((run / PAGE).resolve(), folder.resolve()))
        if path.parts.count("..") > _MOST_UP or not (run / PAGE).is_file():
            continue
        with disk_errors(run):
            page = (run / PAGE).read_text(encoding="utf-8", errors="replace")
        place = quote(path.as_posix())
        found |= {one: f"{place}#{one}" for one in _ADDRESS.findall(page)}
    return found
