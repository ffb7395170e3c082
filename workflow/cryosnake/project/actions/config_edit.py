"""Small changes to config.yaml as text: everything else, comments included, stays as the user wrote it.

Each change is checked before it is written: the new text, parsed, must be the old data with that change and no other.
Why this is not done with ruamel.yaml: docs/architecture.md, "Looked at and left".
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from cryosnake.atomic import replacing
from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.model import Process
from cryosnake.project.config.config import JobConfig, parse_config
from cryosnake.project.config.reading import read_config_file
from cryosnake.project.planning.plan import make_plan

FILE = "config.yaml"

Edit = tuple[int, int, str]  # start and end in the text, and the new text between them


def read_config() -> dict[str, Any]:
    """Return the data of config.yaml in the working directory; {} where there is none.

    Raises
    ------
    CryosnakeError
        when it can't be read, see `read_config_file`
    """
    try:
        return read_config_file(FILE)
    except FileNotFoundError:
        return {}


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
        return new + str(connection).removeprefix(old) if _is_of(str(connection), old) else connection

    wanted = copy.deepcopy(raw)
    wanted["jobs"] = {new if name == old else name: {key: renamed(value) if key in slots[str(name)] else value
                                                     for key, value in body.items()}
                      for name, body in wanted["jobs"].items()}
    if raw.get("workspaces"):
        wanted["workspaces"] = {name: [new if job == old else job for job in members]
                                for name, members in raw["workspaces"].items()}
    text = Path(FILE).read_text(encoding="utf-8")
    edits = [_replaced(member, _dumped(new)) for _, members in _block(text, "workspaces")
             for member in members.value if member.value == old]
    for key, body in _block(text, "jobs"):
        if key.value == old:
            edits.append(_replaced(key, _dumped(new)))
        edits += [_replaced(one, _dumped(renamed(one.value))) for slot, value in _items(body)
                  if slot.value in slots.get(key.value, ())
                  for one in (value.value if isinstance(value, yaml.SequenceNode) else [value])
                  if _is_of(one.value, old)]
    return _write(text, edits, wanted)


def _is_of(connection: str, job: str) -> bool:
    """Whether a connection is to a job or one of its outputs, not to a file whose name begins like that."""
    return connection == job or (connection.startswith(f"{job}.") and "/" not in connection
                                 and not connection.endswith((".star", ".mrc", ".mrcs")))


def set_values(job: str, values: dict[str, Any]) -> list[int]:
    """Set parameters of a job of config.yaml; return the lines changed (from 1).

    Raises
    ------
    CryosnakeError
        when the config does not allow the values, or is written in a way that this can't change
    """
    raw = read_config()
    wanted = copy.deepcopy(raw)
    wanted["jobs"][job] |= values
    text = Path(FILE).read_text(encoding="utf-8")
    body = next((body for key, body in _block(text, "jobs") if key.value == job), None)
    present = {key.value: node for key, node in _items(body)}
    edits = [_replaced(present[name], _dumped(value)) if name in present
             else _inserted(text, body, f"{name}: {_dumped(value)}") for name, value in values.items()]
    return _write(text, edits, wanted)


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


def _block(text: str, name: str) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    """Yield the items of a block of the file, such as `jobs`."""
    for key, node in _items(yaml.compose(text)):
        if key.value == name:
            yield from _items(node)


def _items(node: yaml.Node | None) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    return list(node.value) if isinstance(node, yaml.MappingNode) else []


def _replaced(node: yaml.Node, text: str) -> Edit:
    return node.start_mark.index, node.end_mark.index, text


def _inserted(text: str, body: yaml.Node | None, item: str) -> Edit:
    """Return the edit that adds a key after the last one of a mapping, in the style in which it is written."""
    if not isinstance(body, yaml.MappingNode) or not body.value:
        raise CryosnakeError(f"{FILE}: the job is not written as a mapping; add `{item}` to it by hand")
    key, last = body.value[-1]
    end = last.end_mark.index
    if body.flow_style:
        return end, end, f", {item}"
    while end > last.start_mark.index and text[end - 1].isspace():
        end -= 1
    end = text.find("\n", end) if "\n" in text[end:] else len(text)  # after a comment on the line, too
    return end, end, f"\n{' ' * key.start_mark.column}{item}"


def _dumped(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n").removesuffix("\n...")


def _write(text: str, edits: list[Edit], wanted: dict[str, Any]) -> list[int]:
    lines = sorted({text.count("\n", 0, start) + 1 for start, _, _ in edits})
    new = text
    for _, (start, end, replacement) in sorted(enumerate(edits), key=lambda item: (item[1][:2], item[0]), reverse=True):
        new = new[:start] + replacement + new[end:]
    try:
        right = yaml.safe_load(new) == wanted
    except yaml.YAMLError:
        right = False
    if not right:
        raise CryosnakeError(f"{FILE} is written in a way that can't be changed by a program (anchors, merges, texts "
                             f"over several lines); change it by hand, line {', '.join(map(str, lines)) or '?'}")
    parse_config(wanted)
    with replacing(os.path.realpath(FILE), durable=True) as temporary:  # a link stays a link
        temporary.write_text(new, encoding="utf-8")
        temporary.chmod(Path(FILE).stat().st_mode & 0o7777)
    return lines
