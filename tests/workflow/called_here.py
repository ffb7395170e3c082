"""Calls of Snakemake in one process, each with what it changed: `python called_here.py CALL …`, in a project.

Prints a line of JSON for each call: its exit code, what it said, and the paths that are not as they were. Left out is
what Snakemake writes at each call, whatever the workflow: its log, its inventory, and the times of their folders.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

OWN = (".snakemake/log", ".snakemake/iocache")
FOLDERS = (".", ".snakemake", ".snakemake/locks")


def calls(folder: Path, *words: str) -> list[dict[str, Any]]:
    """Call Snakemake in a folder, once for each text of options."""
    done = subprocess.run([sys.executable, __file__, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def tree(folder: Path = Path()) -> dict[str, Any]:
    """Return all files with their contents and times, folders with their times, and links with their targets."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name, time = str(path.relative_to(folder)), path.lstat().st_mtime_ns
        if name.startswith(OWN):
            continue
        if path.is_symlink():
            found[name] = (os.readlink(path), time)
        elif path.is_file():
            found[name] = (path.read_bytes(), time)
        else:
            found[name] = None if name in FOLDERS else time
    return found


def main() -> None:
    from snakemake.cli import main as snakemake
    from snakemake.logging import logger

    answers = os.fdopen(os.dup(1), "w")
    for words in sys.argv[1:]:
        before, code = tree(), None
        with tempfile.TemporaryFile("w+") as said:
            for stream in (1, 2):  # the programs of jobs print there, too
                os.dup2(said.fileno(), stream)
            try:
                snakemake(["--cores", "2", *shlex.split(words)])
            except SystemExit as end:
                code = end.code
            sys.stdout.flush()
            for handler in list(logger.handlers):
                logger.removeHandler(handler)
            said.seek(0)
            text = said.read()
        after = tree()
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        print(json.dumps({"code": code, "said": text, "changed": changed}), file=answers, flush=True)


if __name__ == "__main__":
    main()
