"""Layered drawing of a directed graph: layers by longest path, few crossings, long arrows straight.

The method is that of Sugiyama, Tagawa & Toda, IEEE Trans. SMC 11, 109 (1981): break cycles, assign layers, order each
layer (`order`), then place the boxes (`positions`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from cryosnake.report.flowchart.order import Vertex, ordered
from cryosnake.report.flowchart.positions import positions

_PORT_DISTANCE = 26.0  # between arrows that leave one box with different files, px


@dataclass(frozen=True)
class Link:
    """An edge to be drawn: `group` names the data, `width` is the space in px that its label needs below."""

    source: str
    target: str
    group: str
    width: float


@dataclass(frozen=True)
class Placement:
    """A layout: layer and centre of each box; for each link its x at source, at each layer between, and target.

    `reversed_links` are those that were reversed to break a cycle; their x run from target to source.
    """

    layer: dict[str, int]
    x: dict[str, float]
    routes: list[list[float]]
    reversed_links: set[int]


def place(widths: Mapping[str, float], links: Sequence[Link], gap: float = 36.0) -> Placement:
    """Place the boxes of a graph.

    Parameters
    ----------
    widths
        Box name to its width in px; their order breaks ties.
    links
        The edges; ends must be in `widths`, no link from a box to itself.
    gap
        Smallest distance between two boxes of a layer, px.

    Returns
    -------
    Placement
        With x from 0 on.
    """
    downward, turned = without_cycles(list(widths), links)
    layer = _layers(list(widths), downward)
    chains = [_chain(index, *ends, layer) for index, ends in enumerate(downward)]
    rows = ordered(_rows(widths, layer, chains), chains)
    ports = _ports(rows, chains, links, turned)
    x = positions(rows, chains, ports, widths, gap)
    routes = [[x[vertex] + ports.get((index, vertex), 0.0) for vertex in chain] for index, chain in enumerate(chains)]
    left = min([x[name] - widths[name] / 2 for name in widths] + [value for route in routes for value in route],
               default=0.0)
    return Placement(layer, {name: x[name] - left for name in widths},
                     [[value - left for value in route] for route in routes], turned)


def without_cycles(names: list[str], links: Sequence[Link]) -> tuple[list[tuple[str, str]], set[int]]:
    """Return upper and lower end of each link, reversed where it would close a cycle, and the indices of those."""
    children: dict[str, list[tuple[int, str]]] = {name: [] for name in names}
    for index, link in enumerate(links):
        children[link.source].append((index, link.target))
    turned: set[int] = set()
    state: dict[str, int] = {}  # 1 on the way down, 2 done
    for root in names:
        stack = [(root, iter(children[root]))] if root not in state else []
        state.setdefault(root, 1)
        while stack:
            name, rest = stack[-1]
            for index, child in rest:
                if state.get(child) == 1:
                    turned.add(index)
                elif child not in state:
                    state[child] = 1
                    stack.append((child, iter(children[child])))
                    break
            else:
                state[name] = 2
                stack.pop()
    ends = [(link.target, link.source) if index in turned else (link.source, link.target)
            for index, link in enumerate(links)]
    return ends, turned


def _layers(names: list[str], ends: list[tuple[str, str]]) -> dict[str, int]:
    parents: dict[str, list[str]] = {name: [] for name in names}
    children: dict[str, list[str]] = {name: [] for name in names}
    for source, target in ends:
        parents[target].append(source)
        children[source].append(target)
    layer: dict[str, int] = {}
    missing = {name: len(parents[name]) for name in names}
    ready = [name for name in names if not missing[name]]
    for name in ready:  # grows during the loop
        layer[name] = max((layer[parent] + 1 for parent in parents[name]), default=0)
        for child in children[name]:
            missing[child] -= 1
            if not missing[child]:
                ready.append(child)
    for name in reversed(ready):  # a box with more outputs than inputs moves down to its users: shorter arrows
        if len(children[name]) > len(parents[name]):
            layer[name] = min(layer[child] for child in children[name]) - 1
    return layer


def _chain(index: int, source: str, target: str, layer: Mapping[str, int]) -> list[Vertex]:
    between: list[Vertex] = [(index, row) for row in range(layer[source] + 1, layer[target])]
    return [source, *between, target]


def _rows(widths: Mapping[str, float], layer: Mapping[str, int], chains: list[list[Vertex]]) -> list[list[Vertex]]:
    rows: list[list[Vertex]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for name in widths:
        rows[layer[name]].append(name)
    for chain in chains:
        for vertex in chain[1:-1]:
            rows[vertex[1]].append(vertex)  # type: ignore[index]  # inner ones are pairs
    return rows


def _ports(rows: list[list[Vertex]], chains: list[list[Vertex]], links: Sequence[Link],
           turned: set[int]) -> dict[tuple[int, Vertex], float]:
    """Return for (link, its end) where the arrow meets the box, in px from the centre.

    At the lower end each arrow has space for its label; at the upper end arrows that carry the same files share a port.
    """
    place_of = {vertex: float(index) for row in rows for index, vertex in enumerate(row)}
    arriving: dict[Vertex, list[int]] = {}
    leaving: dict[Vertex, dict[str, list[int]]] = {}
    for index, chain in enumerate(chains):
        arriving.setdefault(chain[-1], []).append(index)
        leaving.setdefault(chain[0], {}).setdefault(f"{index in turned}{links[index].group}", []).append(index)
    ports: dict[tuple[int, Vertex], float] = {}
    for vertex, indices in arriving.items():
        indices.sort(key=lambda index: place_of[chains[index][-2]])
        at = -sum(links[index].width for index in indices) / 2
        for index in indices:
            ports[index, vertex] = at + links[index].width / 2
            at += links[index].width
    for vertex, groups in leaving.items():
        wish = sorted(groups.values(), key=lambda group: median([place_of[chains[index][1]] for index in group]))
        for number, group in enumerate(wish):
            for index in group:
                ports[index, vertex] = (number - (len(wish) - 1) / 2) * _PORT_DISTANCE
    return ports


