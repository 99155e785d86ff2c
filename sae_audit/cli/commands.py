"""All commands, and the handling of their failures."""

import sys
from typing import NoReturn

import typer

from sae_audit.cli import (
    auditing,
    benching,
    checking,
    comparing,
    exporting,
    featuring,
    finding,
    listing,
    planning,
    reporting,
    showing,
    verifying,
)
from sae_audit.cli.faults import DONE, INTERRUPTED, end_by
from sae_audit.hub import check_environment

app = typer.Typer(
    help="Audit refusal in language models through sparse autoencoders.\n\n"
    "Start with: sae-audit audit organism",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(auditing.audit)
app.command()(comparing.compare)
app.command()(reporting.report)
app.command()(verifying.verify)
app.command()(exporting.export)
app.command()(showing.show)
app.command()(listing.runs)
app.command()(featuring.feature)
app.command()(planning.plan)
app.command()(finding.catalog)
app.command()(finding.fetch)
app.command()(checking.doctor)
app.command()(benching.bench)
app.command()(reporting.schema)


def main() -> NoReturn:
    """Run the command; every failure ends in one sentence and an exit code."""
    try:
        check_environment()
        # Without standalone mode, a command's exit code is a return value.
        code = app(standalone_mode=False) or DONE
    except typer.Exit as done:
        code = done.exit_code
    except Exception as error:
        sys.exit(end_by(error))
    except KeyboardInterrupt as error:
        sys.exit(end_by(error))
    sys.exit(end_by(KeyboardInterrupt()) if code == INTERRUPTED else code)
