"""`sae-audit verify`: whether a run, perhaps a stranger's, is what its record says."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sae_audit.cli import screen
from sae_audit.cli.options import Device, Model, Prompts, Saes, TrustRemoteCode
from sae_audit.config import AuditConfig

if TYPE_CHECKING:
    from sae_audit.pipeline.verification import Rechecked, Verification

DOES_NOT_HOLD = 1


def verify(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    recheck: Annotated[
        int, typer.Option(min=0, help="Certificates to measure again, drawn at random.")
    ] = 5,
    seed: Annotated[
        int | None, typer.Option(help="Of the draw; by default one that nobody could foresee.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="Largest difference of scores that are the same, nats.")
    ] = 0.01,
    model: Model = None,
    saes: Saes = None,
    prompts: Prompts = None,
    device: Device = None,
    trust_remote_code: TrustRemoteCode = None,
) -> None:
    """Say whether a run is what its record says, by measuring some of its certificates again.

    Examples:

      sae-audit verify reports/organism

      sae-audit verify theirs --recheck 20 --model ./model --saes ./saes --prompts prompts.jsonl

    findings.json must hold what the record does; model, SAEs and prompts must have the hashes of the
    run; and each certificate drawn (the model refuses, the set flips that, no feature can be spared) is
    measured by plain hooks, one set a pass, not by the batched passes that made it. Model and SAEs are
    loaded from where the run found them, if --model, --saes and --prompts do not say where they are;
    what is not in the hub's cache is downloaded. Of --recheck 0 nothing is loaded.

    Exit codes: 0 all holds, 1 something does not, 2 bad input (other files than the run's), 3
    incomplete.
    """
    from sae_audit.pipeline.verification import verify as verify_run
    from sae_audit.record.run import load_run
    from sae_audit.record.whole import fitting_together

    found = load_run(run)
    drawn_by = secrets.randbelow(1 << 32) if seed is None else seed

    def placed(config: AuditConfig) -> AuditConfig:
        given = {"model": model, "saes": saes, "device": device}
        asked: dict[str, Any] = {
            **config.model_dump(),
            **{name: value for name, value in given.items() if value is not None},
            # The run's own word for it does not count.
            "trust_remote_code": bool(trust_remote_code),
        }
        if prompts:
            asked["prompts"] |= {"sources": prompts}
        return AuditConfig.model_validate(asked)

    with fitting_together(run):
        verified = verify_run(
            found, n=recheck, seed=drawn_by, places=placed, tolerance=tolerance, done=_print_one
        )
    _print(verified, drawn_by)
    if not verified.holds:
        raise typer.Exit(DOES_NOT_HOLD)


def _print_one(found: "Rechecked") -> None:
    said = "holds" if found.holds else f"DOES NOT HOLD: {found.reason}"
    screen.line(f"{found.prompt_id}: {said}")


def _print(found: "Verification", seed: int) -> None:
    matches = "holds what the record does" if found.findings_match else "DIFFERS from the record"
    screen.line(f"findings.json {matches}.")
    if not found.rechecked:
        screen.line(
            "No certificate was measured again: there is none in the record."
            if not found.n_certificates
            else "No certificate was measured again (--recheck)."
        )
        return
    screen.line("Model, SAEs and prompts have the hashes of the run.")
    n = sum(one.holds for one in found.rechecked)
    largest = max(one.largest_difference for one in found.rechecked)
    screen.line(
        f"{n} of {len(found.rechecked)} certificates hold, drawn from {found.n_certificates} by seed "
        f"{seed}; scores differ by at most {largest:.1g} nats."
    )
