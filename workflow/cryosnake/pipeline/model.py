"""A RELION project as data: processes, nodes and the edges between them. Immutable; `edit` returns changed copies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from enum import IntEnum
from functools import cached_property

Edge = tuple[str, str]

_JOB_NUMBER = r"(?:^|/)job([0-9]{3,})(?:/|$)"  # compiled when used: every plan imports this module


class Status(IntEnum):
    """Status of a process: RELION 3.1's integer, and as `label` the word of RELION 4 and 5."""

    RUNNING = 0
    SCHEDULED = 1
    SUCCEEDED = 2
    FAILED = 3
    ABORTED = 4

    @property
    def label(self) -> str:
        """The word that RELION 4 and 5 write."""
        return self.name.capitalize()


STATUS_OF_LABEL = {status.label: status for status in Status}


@dataclass(frozen=True)
class Process:
    """One job: `MotionCorr/job002/`, its alias (`MotionCorr/motion/` or empty), type in both dialects, and status."""

    name: str
    alias: str = ""
    type_label: str = ""
    type_id: int = 0
    _: KW_ONLY
    status: Status = Status.SCHEDULED

    @property
    def folder(self) -> str:
        """The type's folder, such as `MotionCorr`."""
        return self.name.partition("/")[0]

    @property
    def number(self) -> int:
        """The job number, 0 if the name has none."""
        return job_number(self.name) or 0

    @property
    def short_alias(self) -> str:
        """The alias without folder and slashes; empty if there is none."""
        return self.alias.rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class Node:
    """One file that passes between jobs: its path in the project and its type in both dialects."""

    name: str
    type_label: str = ""
    type_id: int = 0
    depth: int = 1


@dataclass(frozen=True)
class Pipeline:
    """All jobs and nodes of a project.

    Attributes
    ----------
    counter
        The number of the next job.
    processes, nodes
        By name, in the order of the file.
    input_edges
        (node, process that reads it).
    output_edges
        (process, node that it made); a node has at most one producer.
    """

    counter: int = 1
    processes: Mapping[str, Process] = field(default_factory=dict)
    nodes: Mapping[str, Node] = field(default_factory=dict)
    input_edges: tuple[Edge, ...] = ()
    _: KW_ONLY
    output_edges: tuple[Edge, ...] = ()

    @cached_property
    def producers(self) -> dict[str, str]:
        """Node name to the process that made it; nodes from outside the project are absent."""
        return {node: process for process, node in self.output_edges}

    @cached_property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """Process name to the nodes that it reads."""
        return _grouped(self.processes, ((process, node) for node, process in self.input_edges))

    @cached_property
    def outputs(self) -> dict[str, tuple[str, ...]]:
        """Process name to the nodes that it made."""
        return _grouped(self.processes, self.output_edges)

    @cached_property
    def consumers(self) -> dict[str, tuple[str, ...]]:
        """Node name to the processes that read it."""
        return _grouped(self.nodes, self.input_edges)

    @cached_property
    def by_alias(self) -> dict[str, Process]:
        """Full alias (`MotionCorr/motion/`) to its process."""
        return {process.alias: process for process in self.processes.values() if process.alias}

    def parents(self, name: str) -> list[str]:
        """Return the processes whose nodes this process reads."""
        makers = (self.producers.get(node) for node in self.inputs.get(name, ()))
        return list(dict.fromkeys(maker for maker in makers if maker and maker != name))

    def children(self, name: str) -> list[str]:
        """Return the processes that read a node of this process."""
        readers = (reader for node in self.outputs.get(name, ()) for reader in self.consumers.get(node, ()))
        return list(dict.fromkeys(reader for reader in readers if reader != name))

    def ancestors(self, name: str, depth: int | None = None) -> set[str]:
        """Return the processes that this one depends on, at most `depth` steps away, without itself."""
        return _reached(name, self.parents, depth)

    def descendants(self, name: str, depth: int | None = None) -> set[str]:
        """Return the processes that depend on this one, at most `depth` steps away, without itself."""
        return _reached(name, self.children, depth)


def job_name(folder: str, number: int) -> str:
    """Return a process name as RELION writes it, such as `MotionCorr/job002/`."""
    return f"{folder}/job{number:03d}/"


def job_number(name: str) -> int | None:
    """Return the job number in a process or file name, None if there is none."""
    match = re.search(_JOB_NUMBER, name)
    return int(match.group(1)) if match else None


def _grouped(keys: Iterable[str], pairs: Iterable[Edge]) -> dict[str, tuple[str, ...]]:
    lists: dict[str, list[str]] = {key: [] for key in keys}
    for key, value in pairs:
        lists.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in lists.items()}


def _reached(start: str, neighbours: Callable[[str], list[str]], depth: int | None) -> set[str]:
    seen, edge, steps = {start}, {start}, 0
    while edge and (depth is None or steps < depth):
        edge = {name for job in edge for name in neighbours(job)} - seen
        seen |= edge
        steps += 1
    return seen - {start}
