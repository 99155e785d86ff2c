"""The user's kind of failure. Our own kind is an `assert` with the value in it."""


class AuditError(Exception):
    """Bad input: one sentence with the value, what was needed, and the next step."""


class AuditIncompleteError(Exception):
    """The audit stopped before its end; running the same command again resumes it."""


class AuditStoppedError(AuditIncompleteError):
    """Something outside stopped the audit (a full disk, a folder that is gone): one sentence that says
    what; the same command resumes it."""


class InterruptedDownloadError(AuditIncompleteError):
    """A download broke off; what came is kept, and the same command resumes it."""


class FaultInsideError(AuditIncompleteError):
    """This project failed, not its user; the exception it failed by is the cause."""
