"""config.yaml as plain data from its file: never code, nothing in it twice, and mistakes with their line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from cryosnake.errors import CryosnakeError
from cryosnake.project.config.config import INTERNAL_KEYS
from cryosnake.project.config.lines import line_of

PROGRAM = "__use_yte__"  # with this key Snakemake runs the Python in a config file
_MERGE = "tag:yaml.org,2002:merge"  # `<<`: what it brings may be stated again


def read_config_file(path: str) -> dict[str, Any]:
    """Return the data of a config file; {} of an empty one.

    Raises
    ------
    FileNotFoundError
        when there is none
    CryosnakeError
        when it can't be read, is not YAML, would run code, has a key twice in a mapping, or sets an internal switch
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        for line, first, key in _repeated(node, "", set()):
            raise CryosnakeError(f"{path}, line {line}: {key} is there a second time, the first is in line "
                                 f"{first}; YAML would use the last one only. Remove one, or give it another name")
        data = yaml.safe_load(text) or {}
    except FileNotFoundError:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}, line {mark.line + 1}" if mark else path
        raise CryosnakeError(f"{where}: is not YAML: {error.problem or error.context}; check the colons, brackets, "
                             "quotes and indentation there and in the line before") from None
    except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        raise CryosnakeError(f"{path}: can't be read: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise CryosnakeError(f"{path}: must be a mapping `key: value`, such as `jobs:` with the jobs below it, not "
                             f"{str(data)[:60]!r}")
    for key in (PROGRAM, *INTERNAL_KEYS):
        if key in data:
            why = ("would make the config a program; it is data: remove the key, and write the values themselves"
                   if key == PROGRAM else "is set by `cryosnake watch` for its own calls; remove it")
            raise CryosnakeError(f"{path}, line {line_of(path, key)}: {key} {why}")
    return data


def _repeated(node: yaml.Node | None, path: str, seen: set[int]) -> Iterator[tuple[int, int, str]]:
    """Yield each key that is in a mapping again: its line, the line of the first one, and its dotted name."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    lines: dict[tuple[str, str], int] = {}
    for item in node.value if isinstance(node, yaml.CollectionNode) else ():
        key, value = item if isinstance(node, yaml.MappingNode) else (None, item)
        name = path
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
            name, line = f"{path}.{key.value}".lstrip("."), key.start_mark.line + 1
            if (key.tag, key.value) in lines:
                yield line, lines[key.tag, key.value], name
            lines[key.tag, key.value] = line
        yield from _repeated(value, name, seen)
