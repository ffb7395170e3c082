"""The exceptions that are meant for the user, and what the operating system's errors mean to one."""

import errno

# Errors of a computer, its disk or its limits, not of the file that was at work -> the remedy
MACHINE_ERRORS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space"),
    errno.EROFS: "the disk is read-only: mount it for writing",
    errno.EIO: "the disk, or the connection to it, is failing: see `dmesg`; have it repaired",
    errno.EFBIG: "a file may not become as large as it has to (`ulimit -f`, or the file system): raise the limit",
    errno.ESTALE: "the file server has lost the file: wait for the server, mount the disk again",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "raise the number of files that may be open (`ulimit -n`)"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "correct the permissions of the file or its folder"),
}
PERMISSION = (errno.EACCES, errno.EPERM)


class CryosnakeError(Exception):
    """Bad input, or a state that the user must put right.

    The message names the file, the job or column, and what to do; it is shown without a traceback.
    """


class Rejected(CryosnakeError):
    """A micrograph that was processed without error but is not good enough (quality gate); the message says why."""


class Aborted(Exception):
    """The user asked the job to stop: RELION_JOB_ABORT_NOW was found in its directory."""


def machine_error(error: BaseException | None) -> OSError | None:
    """Return the error of `MACHINE_ERRORS` that this one is, or that it was raised for; None where there is none."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
            return error
        error = error.__cause__ or error.__context__
    return None


def machine_message(error: OSError) -> str:
    """Return the text for an error of `MACHINE_ERRORS`: the file, what happened, the remedy."""
    return (f"{error.filename or 'a file'}: {error.strerror}; {MACHINE_ERRORS[error.errno or 0]} and run the same "
            "command: nothing is lost")
