"""A tokenizer from files that nobody here made."""

from collections.abc import Callable
from typing import Any

from sae_audit.errors import AuditError
from sae_audit.subject.checkpoint.pretrained import broken_tokenizer
from sae_audit.untrusted import shown


def readable_tokenizer(read: Callable[[], Any], place: object) -> Any:
    """The tokenizer that `read` makes.

    Raises:
        AuditError: whatever broken files make of the libraries that read them: those raise bare
            exceptions, and type and attribute errors of their own code.
    """
    try:
        made = read()
        made.decode(made("hello")["input_ids"])  # some faults show when it is first asked
        return made
    except (AuditError, MemoryError):
        raise
    except Exception as error:
        raise AuditError(broken_tokenizer(shown(place), error)) from error
