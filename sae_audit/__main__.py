"""`python -m sae_audit` is `sae-audit`."""

from sae_audit.cli import main

main()
