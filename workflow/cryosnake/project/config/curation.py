"""Curation: limits and flags that a person set for a job, in `decisions/<job>.flags.yaml` of the project.

Of micrographs a flag stands for the movie, by the name below a job directory without extension (`Movies/a`): one that
is made again keeps it. Of particles it stands for the image (`000012@Extract/job005/Movies/a.mrcs`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryosnake.atomic import write_text
from cryosnake.errors import CryosnakeError
from cryosnake.limits import ACCEPT, REJECT, limits_problem
from cryosnake.names import is_below
from cryosnake.project.config.config import DECISIONS, JobConfig

ENDING = ".flags.yaml"
_HEAD = ("# What a person accepted or rejected by limits and by eye. `limits` take the place of those in config.yaml\n"
         "# while these are as in `in_config`; a flag decides alone. `cryosnake curate {job}` changes both.\n")


@dataclass(frozen=True, kw_only=True)
class Flag:
    """What was said of one micrograph or image, when, and the file that was looked at with its size and signature."""

    state: str  # accept or reject
    date: str = ""
    seen: str = ""
    signature: str = ""


@dataclass(frozen=True, kw_only=True)
class Curation:
    """The limits that were set, None where those of the config hold, and the flags by name.

    `in_config` are the limits that config.yaml had when they were set: when these are changed, they are the newer ones.
    """

    limits: Mapping[str, str] | None = None
    in_config: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, Flag] = field(default_factory=dict)

    def limits_for(self, config: Mapping[str, str] | None) -> dict[str, str]:
        """Return the limits that hold where the config has these."""
        own = self.limits is not None and dict(self.in_config) == dict(config or {})
        return dict((self.limits if own else config) or {})

    def flags_for(self, config: Mapping[str, str] | None) -> dict[str, str]:
        """Return the flags that hold where the config has these: accept or reject by name."""
        return {**(config or {}), **{name: flag.state for name, flag in self.flags.items()}}


def curation_file(job: str) -> Path:
    """Return the path of the curation of a job of the config."""
    return Path(DECISIONS, f"{job}{ENDING}")


def stamp_of(job: str) -> str:
    """Return a digest of what the file holds, "" where there is none: it is another one when somebody has saved."""
    from hashlib import blake2b  # here: a plan seldom needs it

    try:
        return blake2b(curation_file(job).read_bytes(), digest_size=8).hexdigest()
    except FileNotFoundError:
        return ""


def read_curation(job: str) -> Curation:
    """Return the curation of a job of the config, an empty one where there is no file.

    Raises
    ------
    CryosnakeError
        when the file is damaged, or is that of another job
    """
    path = curation_file(job)
    if not os.path.lexists(path):
        return Curation()
    import yaml  # here: a plan seldom needs it

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        owner, limits = raw["job"], raw.get("limits")
        found = Curation(limits=None if limits is None else _texts(limits),
                         in_config=_texts(raw.get("in_config") or {}),
                         flags={str(name): _flag(one) for name, one in (raw.get("flags") or {}).items()})
        problem = limits_problem(found.limits or {})
        if problem:
            raise ValueError(problem)
    except (OSError, yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CryosnakeError(f"{path} is damaged ({' '.join(str(error).split())}): restore it (git, a backup), or move "
                             f"it away and decide again, `cryosnake curate {job}`") from None
    if owner != job:
        raise CryosnakeError(f"{path} has the decisions of the job {owner!r}, not of {job!r}: if it is a renamed job, "
                             f"write `job: {job}` in the file; if not, move it away")
    return found


def write_curation(job: str, curation: Curation) -> Path:
    """Write the curation of a job, complete or not at all; return the file."""
    import yaml

    path = curation_file(job)
    if not is_below("", str(path)):
        raise CryosnakeError(f"{path}: {DECISIONS} is a link that leads out of the project; make it a folder of the "
                             "project")
    raw: dict[str, Any] = {"job": job}
    if curation.limits is not None:
        raw |= {"limits": dict(curation.limits), "in_config": dict(curation.in_config)}
    raw["flags"] = {name: {key: value for key, value in vars(flag).items() if value}
                    for name, flag in sorted(curation.flags.items())}
    path.parent.mkdir(exist_ok=True)
    text = yaml.safe_dump(raw, default_flow_style=None, sort_keys=False, width=200, allow_unicode=True)
    write_text(path, _HEAD.format(job=job) + text, durable=True)
    return path


def rename_curation(old: str, new: str) -> bool:
    """Give the curation of a renamed job its new name, which has none; return whether there is one."""
    there = os.path.lexists(curation_file(old))
    if there:
        write_curation(new, read_curation(old))
        curation_file(old).unlink()
    return there


def decided(job: str, limits: Mapping[str, str] | None, flags: Mapping[str, str] | None,
            ) -> tuple[dict[str, str], dict[str, str]]:
    """Return the limits and flags that hold for a job of the config now, whose config has these."""
    found = read_curation(job)
    return found.limits_for(limits), found.flags_for(flags)


def is_curated(job: JobConfig) -> bool:
    """Whether a person may set limits and flags for a job."""
    return job.type.judges or bool(job.stated.get("curate") and "particles" in job.connections)


def with_curation(job: JobConfig) -> JobConfig:
    """Return a job that takes its particles whole with the limits that hold for it, and the digest of its flags.

    They are part of what the job is: other ones make another job. Its program reads the flags themselves.
    """
    limits, flags = decided(job.name, job.stated.get("limits"), job.stated.get("flags"))
    stated = {name: value for name, value in job.stated.items() if name not in ("limits", "flagged")}
    if flags:
        from hashlib import blake2b  # here: a plan seldom needs it

        stated["flagged"] = blake2b(repr(sorted(flags.items())).encode(), digest_size=8).hexdigest()
    return replace(job, stated={**stated, **({"limits": limits} if limits else {})})


def _flag(raw: Any) -> Flag:
    raw = {"state": raw} if isinstance(raw, str) else raw
    if raw["state"] not in (ACCEPT, REJECT):
        raise ValueError(f"a flag is {ACCEPT} or {REJECT}, not {raw['state']!r}")
    return Flag(state=raw["state"], **{name: str(raw.get(name, "")) for name in ("date", "seen", "signature")})


def _texts(raw: Mapping[Any, Any] | Iterable[Any]) -> dict[str, str]:
    if not isinstance(raw, Mapping):
        raise ValueError(f"limits must be a mapping, not {raw!r}")
    return {str(name): str(value) for name, value in raw.items()}
