"""The commands gathered; what goes wrong in any of them ends here."""

import sys

import typer

from sae_audit.cli import auditing, benching, checking, finding, planning, reporting
from sae_audit.cli.screen import err, escaped
from sae_audit.errors import AuditError, AuditIncompleteError, InterruptedDownloadError

DONE, BAD_INPUT, INCOMPLETE = 0, 2, 3

app = typer.Typer(
    help="Audit refusal in language models through sparse autoencoders.\n\n"
    "Start with: sae-audit audit organism",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(auditing.audit)
app.command()(reporting.compare)
app.command()(reporting.report)
app.command()(planning.plan)
app.command()(finding.catalog)
app.command()(finding.fetch)
app.command()(checking.doctor)
app.command()(benching.bench)
app.command()(reporting.schema)


def main() -> None:
    """Run the command; every failure leaves one sentence and an exit code."""
    try:
        # A command's own exit code comes back as a value.
        sys.exit(app(standalone_mode=False) or DONE)
    except AuditError as error:
        _complain(str(error), BAD_INPUT)
    except InterruptedDownloadError as error:
        _complain(f"{error} Run the same command again to resume.", INCOMPLETE)
    except AuditIncompleteError as error:
        err.print_exception()
        _complain(f"The audit stopped inside: {error} Run the command again to resume.", INCOMPLETE)
    except (KeyboardInterrupt, typer.Abort):
        _complain("Interrupted. Run the same command again to resume.", INCOMPLETE)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except Exception as error:
        # click's usage errors know how to show themselves; anything else is ours.
        if not hasattr(error, "show"):
            raise
        error.show()  # pyright: ignore[reportAttributeAccessIssue]
        sys.exit(BAD_INPUT)


def _complain(sentence: str, code: int) -> None:
    err.print(f"[bold red]error:[/] {escaped(sentence)}", soft_wrap=True, highlight=False)
    sys.exit(code)
