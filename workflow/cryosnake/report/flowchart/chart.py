"""The flowchart of a project: one box per job, arrows labelled with the data passed on.

`layout` computes the picture once; `drawing` draws it, `dot` writes it as text. `cryosnake flowchart` is the command.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from cryosnake.jobs.model import NODE_TYPES
from cryosnake.pipeline.model import Node, Pipeline, Process, Status
from cryosnake.report.flowchart.layout import Link, place, without_cycles

BOX_HEIGHT = 50.0
LAYER_GAP = 76.0
MARGIN = 28.0
SMALLEST_BOX = 168.0
TITLE_SIZE, TEXT_SIZE, LABEL_SIZE = 14.0, 12.0, 11.0
LABEL_HEIGHT = 17.0
ARROW_LENGTH = 9.0  # head
LABEL_ROOM = LABEL_HEIGHT + ARROW_LENGTH + 6.0  # above a box: label, then arrow head

_KIND = {node.relion3: node.name.replace("_", " ") for node in NODE_TYPES} | {
    4: "movie particles", 5: "class averages", 10: "half maps", 11: "sharpened map", 12: "local resolution",
    14: "FSC", 15: "polishing parameters"}


class Label(NamedTuple):
    """A label on an arrow: its text and the centre of its field, px."""

    text: str
    x: float
    y: float
    width: float


@dataclass(frozen=True, kw_only=True)
class Box:
    """A job, or a file from outside the project (`status` None); x, y is the upper left corner, px."""

    name: str
    title: str
    number: str
    alias: str
    status: Status | None
    remark: str = ""
    x: float = 0.0
    y: float = 0.0
    width: float
    height: float

    @property
    def state(self) -> str:
        """The words about the job's status: "succeeded", with a remark after it if there is one."""
        label = "" if self.status is None else self.status.label.lower()
        return f"{label}, {self.remark}" if self.remark else label


@dataclass(frozen=True, kw_only=True)
class Arrow:
    """The data passed from one box to another.

    `points` are the ends of the straight vertical parts, from the source to the tip; between two points with
    different x the arrow bends.
    """

    source: str
    target: str
    nodes: tuple[str, ...]
    label: Label
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Flowchart:
    """A finished layout, in px from the upper left corner."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    width: float
    height: float


def layout(pipeline: Pipeline, counts: Mapping[str, int] | None = None, around: str = "",
           remarks: Mapping[str, str] | None = None) -> Flowchart:
    """Compute the picture of a pipeline.

    Parameters
    ----------
    pipeline
        The project's jobs.
    counts
        Node name to the number of items in it (1,408 particles), where known.
    around
        Only the job of this process name (`MotionCorr/job002/`), its ancestors and its descendants.
    remarks
        Words about jobs, by process name, that are written after the status.

    Returns
    -------
    Flowchart
        Boxes and arrows with their coordinates.
    """
    if around:
        pipeline = restricted(pipeline, around)
    boxes = {process.name: _job_box(process, (remarks or {}).get(process.name, ""))
             for process in pipeline.processes.values()}
    links, carried = _links(pipeline, counts or {})
    boxes |= {link.source: _file_box(link.source) for link in links if link.source not in boxes}
    room: dict[str, float] = {}
    for link, (_, lower) in zip(links, without_cycles(list(boxes), links)[0], strict=True):
        room[lower] = room.get(lower, 0.0) + link.width
    boxes = {name: replace(box, width=max(box.width, room.get(name, 0.0))) for name, box in boxes.items()}
    placed = place({name: box.width for name, box in boxes.items()}, links)
    boxes = {name: _moved(box, placed.x[name], placed.layer[name]) for name, box in boxes.items()}
    arrows = []
    for index, (link, nodes, route) in enumerate(zip(links, carried, placed.routes, strict=True)):
        turned = index in placed.reversed_links
        arrows.append(_arrow(link, nodes, route, placed.layer[link.target if turned else link.source], turned))
    width = max((box.x + box.width for box in boxes.values()), default=0.0)
    width = max([width, *(x for arrow in arrows for x, _ in arrow.points)])
    height = max((box.y + box.height for box in boxes.values()), default=0.0)
    return Flowchart(tuple(boxes.values()), tuple(arrows), width + MARGIN, height + MARGIN)


def restricted(pipeline: Pipeline, job: str) -> Pipeline:
    """Return the part of a pipeline that one job, given by its process name, depends on or feeds."""
    kept = {job} | pipeline.ancestors(job) | pipeline.descendants(job)
    inputs = tuple(edge for edge in pipeline.input_edges if edge[1] in kept)
    outputs = tuple(edge for edge in pipeline.output_edges if edge[0] in kept)
    nodes = {node for node, _ in inputs} | {node for _, node in outputs}
    inputs = tuple(edge for edge in inputs if pipeline.producers.get(edge[0], job) in kept)
    return Pipeline(pipeline.counter, {n: p for n, p in pipeline.processes.items() if n in kept},
                    {n: node for n, node in pipeline.nodes.items() if n in nodes}, inputs,
                    output_edges=outputs)


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Return an estimate of a text's width in px, rather too large, for the usual sans-serif fonts."""
    narrow = sum(sign in "ijlI.,:;'|!()[] ftr/" for sign in text)
    wide = sum(sign in "mwMWQO%@" for sign in text)
    return size * (0.36 * narrow + 0.92 * wide + 0.61 * (len(text) - narrow - wide)) * (1.08 if bold else 1.0)


def kind_of(node: Node, count: int | None = None) -> str:
    """Return a node's contents in words: `1,408 particles`, `mask`, `half maps`."""
    kind = _KIND.get(node.type_id) or node.type_label.partition(".")[0] or "file"
    if count is None:
        return kind
    if count == 1:
        kind = kind.removesuffix("s")
    return f"{count:,} {kind}"


def _job_box(process: Process, remark: str) -> Box:
    number = f"job{process.number:03d}" if process.number else process.name
    first = text_width(process.folder, TITLE_SIZE, True) + text_width(number, TEXT_SIZE) + 46
    box = Box(name=process.name, title=process.folder, number=number, alias=process.short_alias,
              status=process.status, remark=remark, width=SMALLEST_BOX, height=BOX_HEIGHT)
    last = text_width(box.alias, TEXT_SIZE) + text_width(box.state, TEXT_SIZE) + 62
    return replace(box, width=max(SMALLEST_BOX, first, last))


def _file_box(name: str) -> Box:
    title = os.path.basename(name)
    return Box(name=name, title=title, number="", alias="", status=None, width=text_width(title, TEXT_SIZE) + 28,
               height=26.0)


def _links(pipeline: Pipeline, counts: Mapping[str, int]) -> tuple[list[Link], list[tuple[str, ...]]]:
    """Return one link for each pair of boxes, and the nodes that it carries."""
    carried: dict[tuple[str, str], list[str]] = {}
    for node, reader in pipeline.input_edges:
        source = pipeline.producers.get(node, node)
        if source != reader:
            carried.setdefault((source, reader), []).append(node)
    links = []
    for (source, reader), nodes in carried.items():
        words = dict.fromkeys(kind_of(pipeline.nodes[node], counts.get(node)) for node in nodes)
        text = ", ".join(words)
        links.append(Link(source, reader, text, text_width(text, LABEL_SIZE) + 20))
    return links, [tuple(nodes) for nodes in carried.values()]


def _layer_y(layer: int) -> float:
    return MARGIN + layer * (BOX_HEIGHT + LAYER_GAP)


def _moved(box: Box, centre: float, layer: int) -> Box:
    # A file's box is lower than a job's and is placed at the bottom of its layer, where its arrow starts.
    return replace(box, x=MARGIN + centre - box.width / 2, y=_layer_y(layer) + BOX_HEIGHT - box.height)


def _arrow(link: Link, nodes: tuple[str, ...], route: list[float], first_layer: int, turned: bool) -> Arrow:
    xs = [MARGIN + x for x in route]
    points = [(xs[0], _layer_y(first_layer) + BOX_HEIGHT)]
    for step, x in enumerate(xs[1:-1], start=1):
        top = _layer_y(first_layer + step)
        points += [(x, top - LABEL_ROOM), (x, top + BOX_HEIGHT)]  # straight beside the labels of this layer too
    end = _layer_y(first_layer + len(xs) - 1)
    field = end - LABEL_ROOM + LABEL_HEIGHT / 2
    points += [(xs[-1], end - LABEL_ROOM), (xs[-1], end)]
    label = Label(link.group, xs[-1], field, link.width - 8)
    return Arrow(source=link.source, target=link.target, nodes=nodes, label=label,
                 points=tuple(reversed(points) if turned else points))
