"""One hash over the names and contents of files: the identity of what was audited."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def sha256_of_files(files: Iterable[Path]) -> str:
    """Hash of the files' names and bytes, in the order given."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(os.fsencode(file.name))
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 22):
                digest.update(chunk)
    return digest.hexdigest()
