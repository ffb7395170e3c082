"""Line of a key in a YAML file, searched only when there is a mistake to report."""

from __future__ import annotations

import re

import yaml


def line_of(path: str, key: str) -> int:
    """Return the line (from 1) of a dotted key such as "jobs.motion.patches", of its nearest parent, or 0."""
    try:
        with open(path) as file:
            node = yaml.compose(file)
    except (OSError, yaml.YAMLError):
        return 0
    line = 0
    for part in re.sub(r"\[\d+\]", "", key).split("."):
        if not isinstance(node, yaml.MappingNode):
            break
        found = next(((k, v) for k, v in node.value if getattr(k, "value", None) == part), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
