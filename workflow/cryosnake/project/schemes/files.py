"""RELION's schedules (3.1) and schemes (4, 5) as data: variables, operators, jobs, and their order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cryosnake.errors import CryosnakeError
from cryosnake.names import is_listed_name
from cryosnake.pipeline.job_star import JobOptions, read_job_star
from cryosnake.pipeline.star_text import Block, read_blocks

FILES = ("scheme.star", "schedule.star")
NOTHING = ("", "None", "undefined")
# What templates of schemes have where a user writes a value: XXX_BOX_XXX, <box>, {{ box }}, ${BOX}, @BOX@, FILL_ME_IN,
# and a variable that the scheme does not have
_TO_FILL_IN = re.compile(r"XXX|\$\$|^<[^<>]+>$|\{\{.*\}\}|\$\{\w+\}|^@\w+@$|^\?+$|\b(FILL|CHANGE|REPLACE)_?(ME|THIS|IN)"
                         r"|^(TODO|TBD|N/A)$", re.IGNORECASE)


def is_to_fill_in(text: str) -> bool:
    """Whether a value is a placeholder of a template."""
    return bool(_TO_FILL_IN.search(text))


class Operator(NamedTuple):
    """One operator: `type` such as "bool=ge", the variable that it sets, and its inputs."""

    name: str
    type: str
    output: str
    input1: str
    input2: str


@dataclass(frozen=True)
class Edge:
    """From one node (job or operator) to the next; a fork goes to `if_true` when its boolean is true."""

    start: str
    end: str
    boolean: str = ""
    if_true: str = ""


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """One schedule or scheme; `name` is that of its folder, `jobs` the job.star of each job by its name."""

    name: str
    variables: dict[str, str]
    operators: tuple[Operator, ...]
    edges: tuple[Edge, ...]
    jobs: dict[str, JobOptions]

    def value(self, text: str) -> str:
        """Return a job option with its `$$variables` replaced; one set by operators gets the last such value.

        A variable that the scheme does not have stays as it is.
        """
        if "$$" not in text:
            return text
        words = (self._variable(word[2:]) if word.startswith("$$") else word for word in text.split())
        return " ".join(words)

    def _variable(self, name: str) -> str:
        found = self.variables.get(name, f"$${name}")
        if found in NOTHING:
            for operator in self.operators:
                if operator.type == "string=set" and operator.output == name:
                    found = self.variables.get(operator.input1, found)
        return found

    def after(self, node: str, stop: frozenset[str]) -> set[str]:
        """Return the nodes that follow a node, itself included, up to those in `stop`."""
        seen: set[str] = set()
        waiting = [node]
        while waiting:
            here = waiting.pop()
            if here not in seen and here not in stop:
                seen.add(here)
                for edge in self.edges:
                    if edge.start == here:
                        waiting += [edge.end, *([edge.if_true] if edge.if_true else [])]
        return seen


def read_scheme(folder: Path) -> Scheme:
    """Return the schedule or scheme of a folder.

    Raises
    ------
    CryosnakeError
        when it contains none, or one of its jobs has no job.star
    """
    path = next((folder / name for name in FILES if (folder / name).exists()), None)
    if path is None:
        raise CryosnakeError(f"{folder}: no {' or '.join(FILES)}; give the folder of a schedule or scheme, such as "
                             "Schemes/prep")
    blocks = {name.partition("_")[2]: block for name, block in read_blocks(path).items()}
    jobs: dict[str, JobOptions] = {}
    for (name,) in _rows(blocks.get("jobs"), "JobNameOriginal"):
        star = folder / name / "job.star"
        if not is_listed_name(name) or not star.exists():
            raise CryosnakeError(f"{star} does not exist, but {path.name} lists the job {name}")
        jobs[name] = read_job_star(star)
    if not jobs:
        raise CryosnakeError(f"{path}: no jobs (block data_{path.stem}_jobs)")
    operators = _rows(blocks.get("operators"), "OperatorName", "OperatorType", "OperatorOutput", "OperatorInput1",
                      "OperatorInput2")
    edges = _rows(blocks.get("edges"), "EdgeInputNodeName", "EdgeOutputNodeName", "EdgeIsFork",
                  "EdgeOutputNodeNameIfTrue", "EdgeBooleanVariable")
    return Scheme(name=folder.name, variables=_variables(blocks), operators=tuple(Operator(*row) for row in operators),
                  edges=tuple(_edge(*row) for row in edges), jobs=jobs)


def _variables(blocks: dict[str, Block]) -> dict[str, str]:
    found: dict[str, str] = {}
    for block, kind in (("floats", "Float"), ("strings", "String")):
        found.update(_rows(blocks.get(block), f"{kind}VariableName", f"{kind}VariableValue"))  # type: ignore[arg-type]
    for name, value in _rows(blocks.get("bools"), "BooleanVariableName", "BooleanVariableValue"):
        found[name] = "Yes" if value == "1" else "No"
    return found


def _edge(start: str, end: str, fork: str, if_true: str, boolean: str) -> Edge:
    return Edge(start, end, boolean, if_true) if fork == "1" else Edge(start, end)


def _rows(block: Block | None, *labels: str) -> Iterator[tuple[str, ...]]:
    """Yield the rows of some columns, whose labels begin with rlnSchedule in 3.1 and rlnScheme later."""
    if block is None:
        return
    columns = [column for label in labels
               if (column := block.column(f"rlnScheme{label}") or block.column(f"rlnSchedule{label}")) is not None]
    if len(columns) == len(labels):
        yield from zip(*columns, strict=True)
