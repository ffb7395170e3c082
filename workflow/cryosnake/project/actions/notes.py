"""note.txt of a job: the commands that made it, in RELION's form, and its user's notes."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import shlex
import subprocess
import time
from pathlib import Path

from cryosnake.atomic import own_file, write_text
from cryosnake.errors import CryosnakeError
from cryosnake.installation import workflow_folder
from cryosnake.jobs.registry import job_types
from cryosnake.project.config.text_edits import ChangedMeanwhileError
from cryosnake.project.planning.rule_values import words_of
from cryosnake.project.records.record import JobRecord, read_record

FILE = "note.txt"
_COMMANDS = re.compile(r"^ \+\+\+\+ with the following command\(s\): *\n(.*?)^ \+\+\+\+ *$", re.MULTILINE | re.DOTALL)


def read_note(job_dir: str | os.PathLike[str]) -> str:
    """Return note.txt of a job directory; empty when there is none."""
    try:
        return Path(job_dir, FILE).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def add_note(job_dir: str | os.PathLike[str], text: str) -> None:
    """Append a text to note.txt, between a heading with author and date and RELION's closing line.

    Raises
    ------
    CryosnakeError
        when there is nothing to write
    """
    if not text.strip():
        raise CryosnakeError(f"{job_dir}: the note is empty; write `cryosnake note JOB \"what you want to remember\"`")
    with open(Path(job_dir, FILE), "a", encoding="utf-8", opener=own_file) as file:
        file.write(f"\n ++++ Note of {_author()} on {time.ctime()}\n{text.rstrip()}\n ++++ \n")


def note_stamp(job_dir: str | os.PathLike[str]) -> str:
    """Return a word that is another one when the note is."""
    return hashlib.sha256(read_note(job_dir).encode()).hexdigest()[:16]


def replace_note(job_dir: str | os.PathLike[str], text: str, made_from: str) -> None:
    """Write note.txt anew; `made_from` is the stamp (`note_stamp`) of the note that was edited.

    Raises
    ------
    ChangedMeanwhileError
        when it is another one by now
    """
    if made_from != note_stamp(job_dir):
        raise ChangedMeanwhileError(f"{job_dir}/{FILE} has changed since it was opened; nothing is written. Copy what "
                                    "you wrote, and open the page again")
    write_text(Path(job_dir, FILE), text)


def edit_note(job_dir: str | os.PathLike[str]) -> None:
    """Open note.txt in the user's editor (VISUAL, EDITOR).

    Raises
    ------
    CryosnakeError
        when no editor is set, or it exits with an error
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise CryosnakeError("neither VISUAL nor EDITOR is set; set one (export EDITOR=nano), or write "
                             "`cryosnake note JOB TEXT`")
    try:
        code = subprocess.run([*shlex.split(editor), str(Path(job_dir, FILE))], check=False).returncode
    except OSError as error:
        raise CryosnakeError(f"the editor {editor} can't be started ({error.strerror}); set EDITOR to "
                             "another") from None
    if code:
        raise CryosnakeError(f"the editor {editor} exited with error {code}; {Path(job_dir, FILE)} is as it left it")


def commands(job_dir: str) -> list[str]:
    """Return the commands that ran in a job directory ("MotionCorr/job002"), the newest last, as in note.txt.

    For a job of ours that has not run yet, the command that will run is derived from its record.

    Raises
    ------
    CryosnakeError
        when there are none
    """
    found = [text.strip() for text in _COMMANDS.findall(read_note(job_dir)) if text.strip()]
    record = read_record(Path(job_dir))
    if not found and record is not None:
        found = [recorded_command(job_dir, record)]
    if not found:
        raise CryosnakeError(f"{job_dir}: no command is known; note.txt contains none, and the job was not "
                             "made by cryosnake")
    return found


def recorded_command(job_dir: str, record: JobRecord) -> str:
    """Return the command line of a job's record."""
    script = workflow_folder() / f"scripts/run_{record.type}.py"  # types of other packages have none
    program = [script.name] if script.exists() else ["python", "-m", "cryosnake.running", record.type]
    words = [*program, "--out", job_dir]
    for slot, source in record.inputs.items():
        words += [f"--{slot}", source_path(source)]
    for name, value in record.stated.items():
        words += [f"--{name}", *words_of(value)]
    return shlex.join(words)


def source_path(source: str) -> str:
    """Return the file of a recorded input ("MotionCorr/job002:micrographs", or a path)."""
    job, colon, output = source.rpartition(":")
    record = read_record(Path(job)) if colon and job else None
    job_type = job_types().get(record.type) if record else None
    if record is None or job_type is None:
        return source
    values = {p.name: record.parameters.get(p.name, p.default) for p in job_type.parameters}
    return next((f"{job}/{found.file.format(**values)}" for found in job_type.all_outputs(values)
                 if found.name == output), source)


def _author() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, in a container
        return f"user {os.getuid()}"
