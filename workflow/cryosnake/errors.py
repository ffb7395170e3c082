"""The exceptions that are meant for the user."""


class CryosnakeError(Exception):
    """Bad input, or a state that the user must put right.

    The message names the file, the job or column, and what to do; it is shown without a traceback.
    """


class Rejected(CryosnakeError):
    """A micrograph that was processed without error but is not good enough (quality gate); the message says why."""


class Aborted(Exception):
    """The user asked the job to stop: RELION_JOB_ABORT_NOW was found in its directory."""
