"""config.yaml as text: edits at the positions that PyYAML reports; everything else stays as the user wrote it.

Each edit is checked before it is written: the new text, parsed, must be the old data with that change and no other.
Why this is not done with ruamel.yaml: docs/architecture.md, "Looked at and left".
"""

from __future__ import annotations

import difflib
import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from cryosnake.atomic import replacing
from cryosnake.errors import CryosnakeError
from cryosnake.project.config.config import parse_config
from cryosnake.project.config.reading import read_config_file

FILE = "config.yaml"
WIDTH = 120  # of a line, in characters, at which an entry goes on in the next one

Edit = tuple[int, int, str]  # start and end in the text, and the new text between them


class ChangedMeanwhileError(CryosnakeError):
    """What a change was made from is not what is there now: somebody else was faster, and nothing is written."""


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


def config_text() -> str:
    """Return the text of config.yaml in the working directory; "" where there is none."""
    try:
        return Path(FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise CryosnakeError(f"{FILE}: can't be read: {error}") from None


def config_stamp() -> str:
    """Return a word that is another one when the text of config.yaml is; "" where there is none."""
    try:
        data = Path(FILE).read_bytes()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise CryosnakeError(f"{FILE}: can't be read: {error.strerror}") from None
    return hashlib.sha256(data).hexdigest()[:16]


def refuse_changed(made_from: str | None) -> None:
    """Refuse a change made from a config.yaml with another stamp than today's; None was made from any."""
    if made_from is not None and made_from != config_stamp():
        raise ChangedMeanwhileError(f"{FILE} has changed since this was made from it; nothing is written. Look at "
                                    "what it says now, and do it again")


def edited(text: str, edits: list[Edit]) -> str:
    """Return the text with edits that do not overlap; of several at one place the first comes first."""
    for _, (start, end, replacement) in sorted(enumerate(edits), key=lambda item: (item[1][:2], item[0]), reverse=True):
        text = text[:start] + replacement + text[end:]
    return text


def check_changed(text: str, new: str, wanted: Mapping[str, Any]) -> list[int]:
    """Return the lines of the new text (from 1) that are others than in the old; of lines that are gone, the place.

    Raises
    ------
    CryosnakeError
        when the config does not allow the wanted data, or the new text does not say them
    """
    parse_config(wanted)
    old_lines, new_lines = text.splitlines(), new.splitlines()
    places = difflib.SequenceMatcher(a=old_lines, b=new_lines, autojunk=False).get_opcodes()
    lines = [line + 1 for what, _, _, start, end in places if what != "equal" for line in range(start, max(start + 1,
                                                                                                          end))]
    try:
        right = yaml.safe_load(new) == wanted
    except yaml.YAMLError:
        right = False
    if not right:
        raise CryosnakeError(f"{FILE} is written in a way that can't be changed by a program (anchors, merges, texts "
                             f"over several lines); change it by hand, line {', '.join(map(str, lines)) or '?'}")
    return lines


def write_changed(text: str, new: str, wanted: Mapping[str, Any]) -> list[int]:
    """Write the new text of config.yaml in place of the one that was read; return its lines that are others (from 1).

    Raises
    ------
    CryosnakeError
        see `check_changed`
    ChangedMeanwhileError
        when the file is no longer what was read
    """
    lines = check_changed(text, new, wanted)
    with replacing(os.path.realpath(FILE), durable=True) as temporary:  # a link stays a link
        temporary.write_text(new, encoding="utf-8")
        if os.path.exists(FILE):
            temporary.chmod(Path(FILE).stat().st_mode & 0o7777)
        if config_text() != text:
            raise ChangedMeanwhileError(f"{FILE} was changed by somebody else just now; nothing is written. Try again")
    return lines


def block(text: str, name: str) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    """Yield the items of a block of the file, such as `jobs`."""
    yield from items(value_of(yaml.compose(text), name))


def value_of(node: yaml.Node | None, name: str) -> yaml.Node | None:
    """Return the value of a key of a mapping, None without it."""
    return next((value for key, value in items(node) if key.value == name), None)


def items(node: yaml.Node | None) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    """Return keys and values of a mapping, none of anything else."""
    return list(node.value) if isinstance(node, yaml.MappingNode) else []


def dumped(value: Any) -> str:
    """Return a value as YAML in one line, fit to stand in braces."""
    return yaml.safe_dump([value], default_flow_style=True, width=math.inf, allow_unicode=True,
                          sort_keys=False)[1:].rstrip()[:-1]


def argument(key: str, value: Any) -> str:
    """Return a value as `cryosnake add` and `set` take it, such as diameter=[150, 180]."""
    return f"{key}={value if isinstance(value, str) else dumped(value)}"


def replaced(node: yaml.Node, text: str) -> Edit:
    """Return the edit that puts another text in the place of a value."""
    start, end = node.start_mark.index, _end(node)
    return start, end, text if end > start else f" {text}"  # `key:` without a value


def added(text: str, body: yaml.Node | None, item: str) -> Edit:
    """Return the edit that adds a key after the last one of a mapping, in the style in which it is written."""
    if not isinstance(body, yaml.MappingNode) or not body.value:
        raise CryosnakeError(f"{FILE}: the job is not written as a mapping; add `{item}` to it by hand")
    key, last = body.value[-1]
    end = _end(last)
    if not body.flow_style:
        end = _line_end(text, end)  # after a comment on the line, too
        return end, end, f"\n{' ' * key.start_mark.column}{item}"
    return end, end, f", {item}"


def without(text: str, place: tuple[str, ...], item: str) -> str:
    """Return the text without one key of the mapping, or one item of the list, at a place such as ("jobs", "ctf")."""
    node = yaml.compose(text)
    for name in place:
        node = value_of(node, name)
    names = [one[0].value if isinstance(one, tuple) else one.value for one in getattr(node, "value", ())]
    return edited(text, _removed(text, node, names.index(item))) if item in names else text


def _removed(text: str, node: yaml.Node | None, number: int) -> list[Edit]:
    """Return the edits that take one item (from 0) out of a mapping or a list, with the comment at its line's end."""
    if not isinstance(node, yaml.CollectionNode):
        return []
    places = [(item[0].start_mark.index, _end(item[1])) if isinstance(item, tuple)
              else (item.start_mark.index, _end(item)) for item in node.value]
    start, end = places[number]
    if len(places) == 1:
        return [(node.start_mark.index, _end(node), "[]" if isinstance(node, yaml.SequenceNode) else "{}")]
    if not node.flow_style:
        line = text.rfind("\n", 0, start) + 1
        return [(line, min(len(text), _line_end(text, end) + 1), "")]
    if number + 1 < len(places):
        return [(start, places[number + 1][0], "")]
    before = places[number - 1][1]
    between = text[before:start]
    if "#" not in between:
        return [(before, end, "")]
    comma = before + between.index(",")
    return [(comma, comma + 1, ""), (start, end, "")]


def new_item(text: str, name: str, body: Mapping[str, Any]) -> Edit:
    """Return the edit that adds a job at the end of `jobs`, written and aligned as the last one there."""
    jobs = value_of(yaml.compose(text), "jobs")
    present = items(jobs)
    if jobs is None:
        gap = "" if not text or text.endswith("\n") else "\n"
        return len(text), len(text), f"{gap}jobs:\n{_entry(name, body, 2)}\n"
    if not present:
        if isinstance(jobs, yaml.ScalarNode) and not jobs.value:  # `jobs:` and nothing
            end = _line_end(text, jobs.end_mark.index)
            return end, end, f"\n{_entry(name, body, 2)}"
        start = len(text[:jobs.start_mark.index].rstrip(" "))
        return start, jobs.end_mark.index, f"\n{_entry(name, body, 2)}"
    key, last = present[-1]
    if isinstance(jobs, yaml.MappingNode) and jobs.flow_style:
        end = _end(last)
        return end, end, f",\n{_entry(name, body, key.start_mark.column)}"
    end = _line_end(text, _end(last))
    flow = not isinstance(last, yaml.MappingNode) or bool(last.flow_style)
    aligned = last.start_mark.column - key.start_mark.column if last.start_mark.line == key.start_mark.line else 0
    return end, end, f"\n{_entry(name, body, key.start_mark.column, aligned=aligned, flow=flow)}"


def entry_text(name: str, body: Mapping[str, Any]) -> str:
    """Return a job as an entry of config.yaml, as it is written in a new one."""
    return _entry(name, body, 0)


def _entry(name: str, body: Mapping[str, Any], indent: int, *, aligned: int = 0, flow: bool = True) -> str:
    """Return a job as YAML; `aligned` is the column of the braces, counted from the name."""
    pairs = [f"{dumped(key)}: {dumped(value)}" for key, value in body.items()]
    head = " " * indent + f"{dumped(name)}:"
    if not flow:
        return "\n".join([head, *(" " * (indent + 2) + pair for pair in pairs)])
    lines = [f"{head} ".ljust(indent + aligned) + "{"]
    inner = " " * len(lines[0])
    for number, pair in enumerate(pairs):
        end = "," if number + 1 < len(pairs) else "}"
        if lines[-1].strip() and len(lines[-1]) + len(pair) + 2 > WIDTH and number:
            lines.append(inner + pair + end)
        else:
            lines[-1] += f"{' ' if number else ''}{pair}{end}"
    return "\n".join(lines)


def _end(node: yaml.Node) -> int:
    """Return where a value ends: of a mapping or list in lines, where its last value does, not where the next is."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _line_end(text: str, place: int) -> int:
    while place > 0 and text[place - 1] == "\n":  # a text over several lines ends after its line
        place -= 1
    found = text.find("\n", place)
    return found if found >= 0 else len(text)
