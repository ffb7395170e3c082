"""Line of a key in a YAML file, searched only when there is a mistake to report."""

from __future__ import annotations

import re

import yaml


def line_of(path: str, key: str) -> int:
    """Return the line (from 1) of a dotted key such as "jobs.motion.patches", of its nearest parent, or 0.

    In the config of a workflow that uses this one as a module, the key may be below one of its own.
    """
    try:
        with open(path) as file:
            root = yaml.compose(file)
    except (OSError, yaml.YAMLError):
        return 0
    parts = re.sub(r"\[\d+\]", "", key).split(".")
    inner = [value for _, value in root.value] if isinstance(root, yaml.MappingNode) else []
    node, line = next((node for node in (root, *inner) if _pair(node, parts[0])), root), 0
    for part in parts:
        found = _pair(node, part)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def _pair(node: yaml.Node | None, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next(((k, v) for k, v in node.value if getattr(k, "value", None) == key), None)
