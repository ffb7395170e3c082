"""Changes to a job that config.yaml has: another name, other values; and which of its jobs a directory is."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

import yaml

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.model import Process
from cryosnake.project.config.config import JobConfig, parse_config
from cryosnake.project.config.text_edits import (
    FILE,
    added,
    block,
    config_text,
    dumped,
    edited,
    items,
    read_config,
    refuse_changed,
    replaced,
    value_of,
    without,
    write_changed,
)
from cryosnake.project.planning.plan import make_plan


def rename_job(old: str, new: str) -> list[int]:
    """Rename a job of config.yaml, also in connections and workspaces; return the lines changed (from 1).

    Raises
    ------
    CryosnakeError
        when the new name is invalid or taken, or the file is written in a way that this can't change
    """
    raw = read_config()
    jobs = raw.get("jobs") or {}
    if new in jobs:
        raise CryosnakeError(f"{FILE}: there is already a job called {new!r}; choose another name")
    if old not in jobs:
        raise CryosnakeError(f"{FILE}: {old!r} is the join of a list, and has its name from the job with that list; "
                             f"for another name add it as a job, {new}: {{type: joinstar, …}}, with that list")
    slots = {name: {slot.listed or slot.name for slot in job.type.inputs} for name, job in
             parse_config(raw).jobs.items()}

    def renamed(connection: Any) -> Any:
        if isinstance(connection, list):
            return [renamed(one) for one in connection]
        return new + str(connection).removeprefix(old) if is_of(str(connection), old) else connection

    wanted = copy.deepcopy(raw)
    wanted["jobs"] = {new if name == old else name: {key: renamed(value) if key in slots[str(name)] else value
                                                     for key, value in body.items()}
                      for name, body in wanted["jobs"].items()}
    if raw.get("workspaces"):
        wanted["workspaces"] = {name: [new if job == old else job for job in members]
                                for name, members in raw["workspaces"].items()}
    text = config_text()
    edits = [replaced(member, dumped(new)) for _, members in block(text, "workspaces")
             for member in members.value if member.value == old]
    for key, body in block(text, "jobs"):
        if key.value == old:
            edits.append(replaced(key, dumped(new)))
        edits += [replaced(one, dumped(renamed(one.value))) for slot, value in items(body)
                  if slot.value in slots.get(key.value, ())
                  for one in (value.value if isinstance(value, yaml.SequenceNode) else [value])
                  if is_of(one.value, old)]
    return write_changed(text, edited(text, edits), wanted)


def is_of(connection: str, job: str) -> bool:
    """Whether a connection is to a job or one of its outputs, not to a file whose name begins like that."""
    return connection == job or (connection.startswith(f"{job}.") and "/" not in connection
                                 and not connection.endswith((".star", ".mrc", ".mrcs")))


def change_job(job: str, values: Mapping[str, Any], unset: Collection[str] = (), *,
               made_from: str | None = None) -> list[int]:
    """Set parameters and connections of a job of config.yaml, and remove others; return the lines changed (from 1).

    `made_from` is the stamp (`config_stamp`) of the config that the user saw; None: whatever there is.

    Raises
    ------
    CryosnakeError
        when there is no such job, the config does not allow the values, or is written in a way that this can't change
    ChangedMeanwhileError
        when the config is another one by now
    """
    refuse_changed(made_from)
    raw = read_config()
    wanted = copy.deepcopy(raw)
    body_of(wanted, job)
    gone = [name for name in unset if name in wanted["jobs"][job]]
    if "type" in (*gone, *values):
        raise CryosnakeError(f"{job}: a job of another type is another job; add it beside this one")
    wanted["jobs"][job] = {name: value for name, value in (wanted["jobs"][job] | dict(values)).items()
                           if name not in gone}
    text = config_text()
    body = value_of(value_of(yaml.compose(text), "jobs"), job)
    present = {key.value: node for key, node in items(body)}
    new = edited(text, [replaced(present[name], dumped(value)) if name in present
                        else added(text, body, f"{dumped(name)}: {dumped(value)}") for name, value in values.items()
                        if name not in gone and not (name in raw["jobs"][job] and raw["jobs"][job][name] == value)])
    for name in gone:
        new = without(new, ("jobs", job), name)
    return write_changed(text, new, wanted) if new != text else []


def body_of(raw: Mapping[str, Any], job: str) -> Mapping[str, Any]:
    """Return what the data of config.yaml say of a job.

    Raises
    ------
    CryosnakeError
        when there is no such job
    """
    from cryosnake.project.config.values import nearest

    jobs = raw.get("jobs") or {}
    if not isinstance(jobs, Mapping) or not isinstance(jobs.get(job), Mapping):
        raise CryosnakeError(f"{FILE}: there is no job called {job!r}{nearest(job, map(str, jobs or ()))}")
    found: Mapping[str, Any] = jobs[job]
    return found


def job_of_config(process: Process) -> JobConfig | None:
    """Return the job of config.yaml to which a job directory belongs, None if there is none.

    If no plan can be made (the movies are archived), it is the one whose name is the alias of the job.

    Raises
    ------
    CryosnakeError
        when the config has mistakes
    """
    raw = read_config()
    if not raw:
        return None
    config = parse_config(raw)
    try:
        plan = make_plan(config)
    except CryosnakeError:
        return next((job for job in config.jobs.values()
                     if (job.name, job.type.folder) == (process.short_alias, process.folder)), None)
    return next((job.config for job in plan.jobs.values() if f"{job.path}/" == process.name), None)
