"""`python kill_at.py N COUNT_FILE WORDS…`: the command `cryosnake WORDS…`, killed before its Nth change of a file.

With N = 0 it runs to its end. COUNT_FILE gets the number of changes; steps are those that Python's audit hooks tell
of: files opened for writing, renamed, removed, linked, given a time, and folders made and removed.
"""

from __future__ import annotations

import os
import signal
import sys

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.utime", "os.truncate"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def main() -> int:
    """Run the command under the hook."""
    at, count_file, words = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    from cryosnake.cli import main as cryosnake

    counted = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal counted
        if event not in CHANGES and not (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING):
            return
        if "__pycache__" in str(arguments[0]) or str(arguments[0]) == count_file:
            return
        counted += 1
        if counted == at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    code = cryosnake(words)
    with open(count_file, "w") as file:
        file.write(str(counted))
    return code


if __name__ == "__main__":
    sys.exit(main())
