"""A tokenizer from foreign files."""

from collections.abc import Callable
from typing import Any

from sae_audit.errors import AuditError
from sae_audit.subject.checkpoint.pretrained import broken_tokenizer
from sae_audit.untrusted import shown


def readable_tokenizer(read: Callable[[], Any], place: object) -> Any:
    """The tokenizer that `read` makes.

    Raises:
        AuditError: The files are broken; the libraries raise arbitrary exceptions for them.
    """
    try:
        made = read()
        made.decode(made("hello")["input_ids"])  # some faults show at first use
        return made
    except (AuditError, MemoryError):
        raise
    except Exception as error:
        raise AuditError(broken_tokenizer(shown(place), error)) from error
