"""Failures for the user. An internal failure is an `assert` with the value in it."""


class AuditError(Exception):
    """Bad input: one sentence with the value, what was needed, and the next step."""


class AuditIncompleteError(Exception):
    """The audit stopped before its end; running the same command again resumes it."""


class AuditStoppedError(AuditIncompleteError):
    """An outside cause (a full disk, a missing folder) stopped the audit; it can be resumed."""


class InterruptedDownloadError(AuditIncompleteError):
    """A download broke off; the received part is kept, and the same command resumes it."""


class FaultInsideError(AuditIncompleteError):
    """An error in this project; the exception's `__cause__` is the original one."""
