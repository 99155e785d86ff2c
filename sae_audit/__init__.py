"""Audit refusal in language models through sparse autoencoders.

    from sae_audit import audit, load_run, compare, AuditConfig

Names are loaded when first used: a report can be read, and two runs compared, without torch.
"""

# Not from typing: a command sets up how it is stopped before it takes the time to import that.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from sae_audit.comparison import compare as compare
    from sae_audit.comparison.page import write_comparison as write_comparison
    from sae_audit.config import AuditConfig as AuditConfig
    from sae_audit.pipeline.audit import audit as audit
    from sae_audit.record.run import load_run as load_run

__all__ = ["AuditConfig", "audit", "compare", "load_run", "write_comparison"]


def __getattr__(name: str) -> object:
    from importlib import import_module

    homes = {
        "AuditConfig": "sae_audit.config",
        "audit": "sae_audit.pipeline.audit",
        "compare": "sae_audit.comparison",
        "load_run": "sae_audit.record.run",
        "write_comparison": "sae_audit.comparison.page",
    }
    if name not in homes:
        raise AttributeError(f"module 'sae_audit' has no attribute {name!r}")
    return getattr(import_module(homes[name]), name)
