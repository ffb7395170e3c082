"""Jobs that come into config.yaml, and go: their names, the values that a user writes, and what stays on the disk."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, get_args, get_origin

import yaml

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.model import JobType
from cryosnake.jobs.registry import job_types
from cryosnake.pipeline.edit import alias_problem
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.project.actions.config_edit import body_of, is_of
from cryosnake.project.config.config import JOB_KEYS, ConfigError
from cryosnake.project.config.text_edits import (
    FILE,
    config_text,
    edited,
    new_item,
    read_config,
    refuse_changed,
    without,
    write_changed,
)
from cryosnake.project.config.values import nearest

_NAME = re.compile(r"[^\W\d][\w-]*")


def add_job(name: str, type_name: str, values: Mapping[str, Any], *, made_from: str | None = None) -> list[int]:
    """Add a job at the end of `jobs` in config.yaml, which is made where there is none; return its lines (from 1).

    Parameters
    ----------
    values
        Its connections by slot ("job.output", a job directory, a file, a list of these) and its parameters.
    made_from
        The stamp (`config_stamp`) of the config that the user saw; None: whatever there is.

    Raises
    ------
    CryosnakeError
        when the name or the type is none, the config does not allow the values (`ConfigError`, with their key), or
        the file is written in a way that this can't change
    ChangedMeanwhileError
        when the config is another one by now
    """
    refuse_changed(made_from)
    raw = read_config()
    body, wanted = with_job(raw, name, type_name, values)
    text = config_text()
    return write_changed(text, edited(text, [new_item(text, name, body)]), wanted)


def with_job(raw: Mapping[str, Any], name: str, type_name: str, values: Mapping[str, Any],
             ) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the entry of a new job, and the data of the config with it; these are not checked but for its name."""
    jobs = raw.get("jobs") or {}
    problem = name_problem(name, jobs)
    if problem:
        raise ConfigError(f"jobs.{name}", problem)
    body = {"type": type_name, **values}
    wanted = copy.deepcopy(dict(raw))
    wanted["jobs"] = {**(wanted.get("jobs") or {}), name: body}
    return body, wanted


def remove_job(name: str, *, made_from: str | None = None) -> list[str]:
    """Remove a job from config.yaml, its place in workspaces included; return what was done, one sentence each.

    Nothing on the disk changes but this file.

    Raises
    ------
    CryosnakeError
        when there is no such job, others use it, it is the only one, or the file is written in a way that this can't
        change
    ChangedMeanwhileError
        when the config is another one by now
    """
    refuse_changed(made_from)
    raw = read_config()
    body_of(raw, name)
    users = users_of(raw, name)
    if users:
        raise CryosnakeError(f"{name} is used by {', '.join(users)}; connect {'these' if users[1:] else 'this'} to "
                             "another job first (cryosnake set), or remove them before")
    if len(raw["jobs"]) == 1:
        raise CryosnakeError(f"{name} is the only job of {FILE}; a project has at least one. Add another first")
    stays = _directory_of(raw, name)
    wanted = copy.deepcopy(raw)
    del wanted["jobs"][name]
    text = config_text()
    new = without(text, ("jobs",), name)
    for workspace, members in (raw.get("workspaces") or {}).items():
        if name in members:
            wanted["workspaces"][workspace].remove(name)
            new = without(new, ("workspaces", workspace), name)
    lines = write_changed(text, new, wanted)
    said = [f"{FILE}, line {', '.join(map(str, lines))}: {name} is gone"]
    return said + ([f"{stays} stays with all its files; `cryosnake delete {stays}` moves it to the Trash"] if stays
                   else ["it has no directory: nothing stays on the disk"])


def users_of(raw: Mapping[str, Any], name: str) -> list[str]:
    """Return the jobs of a config's data that are connected to a job."""
    found = []
    for other, body in (raw.get("jobs") or {}).items():
        job_type = job_types().get(str(body.get("type"))) if isinstance(body, Mapping) else None
        slots = {slot.listed or slot.name for slot in job_type.inputs} if job_type else set()
        stated = [body[slot] for slot in slots if slot in body]
        if any(is_of(str(one), name) for value in stated for one in (value if isinstance(value, list) else [value])):
            found.append(str(other))
    return found


def name_problem(name: str, taken: Iterable[str]) -> str:
    """Return why a new job can't be called this, "" if it can."""
    if name in taken:
        return f"there is a job called {name!r} already; choose another name, or change that one (cryosnake set)"
    if not _NAME.fullmatch(name):
        return f"{name!r} is no name for a job; use letters, digits, - and _, with a letter first"
    return alias_problem(name, ()) or ""


def proposed_name(type_name: str, taken: Collection[str]) -> str:
    """Return a name for a new job of a type, with a number where the type's own name is taken.

    >>> proposed_name("class2d", ["class2d", "class2d_2"])
    'class2d_3'
    """
    names = [type_name, *(f"{type_name}_{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def values_of(type_name: str, texts: Iterable[tuple[str, str]], job: str = "NAME",
              ) -> tuple[dict[str, Any], list[str]]:
    """Return the values that a user wrote as texts, by their names, and the names without any text.

    A text is read as YAML; for a parameter that is a text, as it stands where YAML would make something else of it.

    Raises
    ------
    ConfigError
        for a type or a name that there is not, with the nearest one, and for what is no YAML
    """
    job_type = type_called(type_name, job)
    known = [*JOB_KEYS[1:], *dict.fromkeys(slot.listed or slot.name for slot in job_type.inputs),
             *(one.name for one in job_type.parameters)]
    values: dict[str, Any] = {}
    unset = []
    for name, text in texts:
        if name not in known:
            raise ConfigError(f"jobs.{job}.{name}", f"unknown key in a job of type {type_name}"
                              f"{nearest(name, known)}; known are {', '.join(known)}")
        if text.strip():
            values[name] = _value(f"jobs.{job}.{name}", job_type, name, text.strip())
        else:
            unset.append(name)
    return values, unset


def type_called(type_name: str, job: str = "NAME") -> JobType:
    """Return a job type; `ConfigError` when there is none of this name."""
    types = job_types()
    if type_name not in types:
        raise ConfigError(f"jobs.{job}.type", f"there is no job type {type_name!r}{nearest(type_name, types)}; known "
                          f"are {', '.join(types)}")
    return types[type_name]


def _value(key: str, job_type: JobType, name: str, text: str) -> Any:
    kind: Any = next((one.kind for one in job_type.parameters if one.name == name), None)
    plain = kind is str or (kind is None and name not in JOB_KEYS)
    if get_origin(kind) is list and get_args(kind)[0] is not str and text[0] not in "[{'\"" and "," in text:
        text = f"[{text}]"
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        if plain:
            return text  # *.tiff
        problem = getattr(error, "problem", "") or "quotes or brackets are missing"
        raise ConfigError(key, f"{text!r} is not YAML ({problem}); write it as in {FILE}") from None
    return text if plain and value is not None and not isinstance(value, str | list) else value


def _directory_of(raw: Mapping[str, Any], name: str) -> str:
    """Return the directory that has the name of a job of the config as its alias, "" where there is none."""
    job_type = job_types().get(str(raw["jobs"][name].get("type")))
    with suppress(CryosnakeError):
        process = read_pipeline_unlocked().by_alias.get(f"{job_type.folder if job_type else ''}/{name}/")
        return process.name.rstrip("/") if process else ""
    return ""
