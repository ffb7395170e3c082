"""Decisions: classes that a person chose, with what they were chosen from, in `decisions/<job>.yaml` of the project.

Each holds only for contents with its digest. New ones are added above the old ones, which stay.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryosnake.atomic import write_text
from cryosnake.digests import digest
from cryosnake.errors import CryosnakeError
from cryosnake.names import is_below
from cryosnake.project.config.config import DECISIONS

_HEAD = ("# Classes that were chosen, the newest choice first, and what each was chosen from: it holds for that only.\n"
         "# `cryosnake choose {job}` shows what there is, `cryosnake choose {job} --classes 1,2` adds a choice.\n")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Class numbers, the directory (or file) and the files that they were chosen from, and the digest of these.

    `in_config` are the numbers that config.yaml had then (None for none): when these are changed, they are the newer
    choice.
    """

    classes: tuple[int, ...]
    made_on: str
    files: tuple[str, ...]
    digest: str
    in_config: tuple[int, ...] | None
    date: str


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a person chooses from for a job: the classes of `made_on`, a job directory or a file, by number.

    `files` are what is looked at (model and averages) and `digest` is that of their contents, "" where they are not all
    there; `picture` shows them, if there is one, and `particles` is the table with their members. `in_config` are the
    numbers in config.yaml: None if it has no such key, () for `choose`. With `single` it is the number of an output,
    and one is chosen.
    """

    made_on: str
    files: tuple[str, ...]
    in_config: tuple[int, ...] | None
    digest: str = ""
    picture: str = ""
    particles: str = ""
    single: bool = False
    waits: bool = False  # nobody has chosen from this yet


def decision_file(job: str) -> Path:
    """Return the path of the decisions of a job of the config."""
    return Path(DECISIONS, f"{job}.yaml")


def digest_of_files(files: Iterable[str]) -> str:
    """Return a digest of the contents of some files together, "" where one is missing or empty."""
    from hashlib import blake2b  # here: a plan seldom needs it

    found = blake2b(digest_size=16)
    for file in files:
        if not os.path.exists(file) or not os.stat(file).st_size:
            return ""
        found.update(digest(file).encode())
    return found.hexdigest()


def read_decisions(job: str) -> tuple[Decision, ...]:
    """Return the decisions for a job of the config, the newest first; none where there is no file.

    Raises
    ------
    CryosnakeError
        when the file is damaged, or is that of another job
    """
    path = decision_file(job)
    if not os.path.lexists(path):
        return ()
    import yaml  # here: a plan seldom needs it

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        owner, found = raw["job"], tuple(map(_decision, raw["decisions"]))
    except (OSError, yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CryosnakeError(f"{path} is damaged ({' '.join(str(error).split())}): restore it (git, a backup), or move "
                             f"it away and choose again, `cryosnake choose {job}`") from None
    if owner != job:
        raise CryosnakeError(f"{path} has the decisions of the job {owner!r}, not of {job!r}: if it is a renamed job, "
                             f"write `job: {job}` in the file; if not, move it away")
    return found


def add_decision(job: str, decision: Decision) -> Path:
    """Add a decision above those that a job has; return the file."""
    path = decision_file(job)
    _write(job, (decision, *read_decisions(job)))
    return path


def rename_decisions(old: str, new: str) -> bool:
    """Give the decisions of a renamed job its new name, which has none; return whether there are any."""
    known = read_decisions(old)
    if known:
        _write(new, known)
        decision_file(old).unlink()
    return bool(known)


def now() -> str:
    """Return the date of a decision that is made now."""
    return time.strftime("%Y-%m-%d %H:%M")


def _decision(raw: Any) -> Decision:
    in_config = raw.get("in_config")
    return Decision(classes=_numbers(raw["classes"]), made_on=str(raw["made_on"]), digest=str(raw["digest"]),
                    files=tuple(map(str, raw["files"])), date=str(raw.get("date", "")),
                    in_config=None if in_config is None else tuple(map(int, in_config)))


def _numbers(raw: Any) -> tuple[int, ...]:
    if not isinstance(raw, list) or not raw or not all(type(number) is int and number > 0 for number in raw):
        raise ValueError(f"classes must be a list of numbers from 1, not {raw!r}")
    return tuple(raw)


def _write(job: str, decisions: Sequence[Decision]) -> None:
    import yaml

    if not is_below("", str(decision_file(job))):
        raise CryosnakeError(f"{decision_file(job)}: {DECISIONS} is a link that leads out of the project; make it a "
                             "folder of the project")
    listed = []
    for one in decisions:
        item: dict[str, Any] = {"classes": list(one.classes), "made_on": one.made_on, "files": list(one.files),
                                "digest": one.digest, "date": one.date}
        if one.in_config is not None:
            item["in_config"] = list(one.in_config)
        listed.append(item)
    Path(DECISIONS).mkdir(exist_ok=True)
    text = yaml.safe_dump({"job": job, "decisions": listed}, default_flow_style=None, sort_keys=False, width=200)
    write_text(decision_file(job), _HEAD.format(job=job) + text, durable=True)
