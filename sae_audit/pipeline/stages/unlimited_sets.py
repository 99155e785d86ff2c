"""One certified minimal set for each refused prompt, whatever it changes on harmless ones."""

import math

from sae_audit.findings.stages import UNLIMITED_SETS
from sae_audit.minimal.search import minimal_set
from sae_audit.pipeline.pricing import DISTINCT, SET_SIZE, AuditSize, Work
from sae_audit.pipeline.state import AuditState

STAGE = UNLIMITED_SETS


def run(state: AuditState) -> None:
    state.session.remember_together(
        STAGE,
        state.refused,
        lambda p: minimal_set(
            p.id, state.search_orders(p, state.pools[p.id]), state.config.minimal
        ),
        state.refusal_scores,
    )


def price(size: AuditSize) -> Work:
    n, m = max(size.n_candidates, 2), SET_SIZE
    one_search = m * (math.log2(max(n / m, 1)) + 1)
    if size.config.minimal.search in ("greedy", "elimination"):
        one_search = float(n)
    both = size.config.minimal.order == "both"
    questions = DISTINCT * size.audit * ((2 if both else 1) * one_search + m + 2)
    own = size.own_order()
    return Work(
        forward_passes=questions + own.forward_passes,
        alone_layer_tokens=own.alone_layer_tokens,
        swept_layer_tokens=size.swept(questions),
        heads=2 * size.audit,
        swept_heads=questions,
        alone_encoded=own.alone_encoded,
        assumed=f"sets of {m} features; two thirds of the sets asked about change something",
    )
