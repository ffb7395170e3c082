"""Carry out a clean-up: first the manifest, then one job after the other. After a crash the same manifest continues.

A manifest is `.cryosnake/cleanup/<time>.jsonl`: the choices, one line for each job, and then a line for each finished
one. It stays as a record of what was removed.
"""

from __future__ import annotations

import getpass
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from cryosnake import __version__
from cryosnake.atomic import own_file, write_text
from cryosnake.errors import CryosnakeError
from cryosnake.json_files import parse_json
from cryosnake.pipeline.model import Pipeline
from cryosnake.project.cleaning.bulk.plan import CleanupPlan
from cryosnake.project.cleaning.clean import clean, plan_action
from cryosnake.project.cleaning.delete import Deletion, current_pipeline, delete_jobs, plan_deletion
from cryosnake.project.cleaning.guards import DELETE
from cryosnake.project.records.disk import table_lines
from cryosnake.project.records.record import FILE as RECORD

FOLDER = Path(".cryosnake", "cleanup")


def write_manifest(plan: CleanupPlan) -> Path:
    """Write the manifest of a plan, on disk before anything moves; return its path."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.jsonl"
    choices = {"workspace": plan.workspace, **dict.fromkeys(sorted(plan.chosen), True)}
    lines: list[dict[str, Any]] = [{"version": __version__, "user": getpass.getuser(), "time": time.time(),
                                    "choices": choices}]
    lines += [{"job": action.name, "action": action.what, "files": len(action.files), "bytes": action.bytes,
               "reasons": action.reasons, "parameters": _parameters(action.name)} for action in plan.actions]
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines), durable=True)
    return path


def unfinished_manifest() -> Path | None:
    """Return the manifest of an interrupted clean-up, None if there is none."""
    for path in sorted(FOLDER.glob("*.jsonl")):
        if not any("finished" in line for line in _read(path)):
            return path
    return None


def run_manifest(path: Path, tell: Callable[[str], None] = lambda line: None) -> list[tuple[str, str]]:
    """Carry out the unfinished actions of a manifest; return the jobs that had to be left alone, with the reason.

    The caller holds `clean_up_lock.cleaning_up`.

    Raises
    ------
    CryosnakeError
        When a disk is full or a file cannot be moved; the same manifest continues from there.
    """
    lines = _read(path)
    done = {line["done"] for line in lines if "done" in line}
    left: list[tuple[str, str]] = []
    for line in lines:
        if "action" not in line or line["job"] in done:
            continue
        why = _act(line["job"], line["action"])
        if why:
            left.append((line["job"], why))
        tell(f"{line['job'].rstrip('/')}  {line['action']}" + (f"  left alone: {why}" if why else ""))
        _append(path, {"done": line["job"], **({"left": why} if why else {})})
    _append(path, {"finished": time.time()})
    return left


def _act(name: str, what: str) -> str:
    """Do one action; return why the job was left alone, "" when it was done."""
    pipeline = current_pipeline()
    if name not in pipeline.processes:
        return "" if what == DELETE else "it is no longer in the project"
    try:
        if what == DELETE:
            act: Callable[[], object] = partial(delete_jobs, _deletion(pipeline, name))
        else:
            act = partial(clean, plan_action(pipeline, name, what, force=True))
    except CryosnakeError as error:
        return str(error)
    act()
    return ""


def _deletion(pipeline: Pipeline, name: str) -> Deletion:
    deletion = plan_deletion(pipeline, [name])
    if deletion.all != (name,):
        raise CryosnakeError(f"{', '.join(sorted(set(deletion.all) - {name}))} now depends on it")
    return deletion


def _parameters(name: str) -> str:
    """Return a checksum of the job's record: another job may get its number later."""
    import hashlib  # imported here: needed only by a clean-up

    found = [path for path in (Path(name, RECORD), Path(name, "job.star")) if path.exists()]
    return hashlib.sha256(found[0].read_bytes()).hexdigest() if found else ""


def _read(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number, line in enumerate(table_lines(str(path)), 1):
        with suppress(ValueError):
            if isinstance(item := parse_json(line), dict) and (
                    not {"job", "action"} & item.keys() or {str} == {type(item.get("job")), type(item.get("action"))}):
                found.append(item)
                continue
        if line.startswith("{") and line.endswith("}"):  # a killed program can leave others, without their ends
            raise CryosnakeError(f"{path}, line {number}: the record of an interrupted clean-up is damaged; move this "
                                 "file away, then choose again what to clean")
    return found


def _append(path: Path, line: dict[str, Any]) -> None:
    torn = not path.read_text().endswith("\n")
    with open(path, "a", opener=own_file) as file:
        file.write("\n" * torn + json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())
