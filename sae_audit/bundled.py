"""Files that ship with the project, in a checkout or in an installed wheel."""

from pathlib import Path, PurePosixPath

from sae_audit.errors import AuditError

PREFIX = "bundled:"


def bundled_root() -> Path:
    """The folder `pretrained_saes`.

    Raises:
        AuditError: The folder is missing: the installation is incomplete.
    """
    package = Path(__file__).resolve().parent
    for place in (package / "pretrained_saes", package.parent / "pretrained_saes"):
        if (place / "organism").is_dir():
            return place
    raise AuditError(
        "This installation lacks pretrained_saes/organism; install the published wheel, or run "
        "from a full checkout."
    )


def resolve(location: str) -> Path:
    """A path, or a bundled file if `location` begins with `bundled:`.

    Raises:
        AuditError: A bundled name leads out of the bundled folder.
    """
    if location.startswith(PREFIX):
        name = PurePosixPath(location.removeprefix(PREFIX))
        if name.is_absolute() or ".." in name.parts:
            raise AuditError(
                f"{location!r} leads out of the files that ship with sae-audit; name one of them "
                f"({PREFIX}organism/base), or give a path without {PREFIX} before it."
            )
        return bundled_root() / name
    return Path(location).expanduser()


def named_file(location: str) -> Path:
    """The path as `resolve` gives it, for a file named by a setting; it need not exist.

    Raises:
        AuditError: The path is in the home folder of an unknown user.
    """
    try:
        return resolve(location)
    except RuntimeError as error:
        raise AuditError(
            f"No file {location}; there is no such user, whose folder ~ stands for."
        ) from error
