"""Layered drawing of a directed graph: layers by longest path, few crossings, long arrows straight.

The method is that of Sugiyama, Tagawa & Toda, IEEE Trans. SMC 11, 109 (1981), with the median ordering of Gansner et
al., IEEE Trans. Softw. Eng. 19, 214 (1993). Horizontal positions minimise the weighted squared bends of the arrows
under fixed order and distances, layer by layer, which is an isotonic regression and solved exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

Vertex = str | tuple[int, int]  # a box by its name, or (edge index, layer): a place where a long edge passes a layer

_SWEEPS = 24
_RELAXATIONS = 120
_STRAIGHT = 1.0  # px; a bend below this counts as none
_PASSING_WIDTH = 18.0  # room for an edge that passes a layer, px
_PORT_DISTANCE = 26.0  # between arrows that leave one box with different files, px


@dataclass(frozen=True)
class Link:
    """An edge to be drawn: `group` names what flows, `width` is the room in px that its label needs at the target."""

    source: str
    target: str
    group: str
    width: float


@dataclass(frozen=True)
class Placement:
    """Where things go: layer and centre of each box; for each link its x at source, at each layer between, and target.

    `reversed_links` are those that had to be turned round to break a cycle; their x run from target to source.
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
        Box name to its width in px; the order breaks ties.
    links
        The edges; ends must be in `widths`, no link from a box to itself.
    gap
        Smallest distance between two boxes of a layer, px.

    Returns
    -------
    Placement
        With x from 0 on.
    """
    downward, turned = _without_cycles(list(widths), links)
    layer = _layers(list(widths), downward)
    chains = [_chain(index, *ends, layer) for index, ends in enumerate(downward)]
    rows = _ordered(_rows(widths, layer, chains), chains)
    ports = _ports(rows, chains, links, turned)
    x = _positions(rows, chains, ports, widths, gap)
    routes = [[x[vertex] + ports.get((index, vertex), 0.0) for vertex in chain] for index, chain in enumerate(chains)]
    left = min([x[name] - widths[name] / 2 for name in widths] + [value for route in routes for value in route])
    return Placement(layer, {name: x[name] - left for name in widths},
                     [[value - left for value in route] for route in routes], turned)


def _without_cycles(names: list[str], links: Sequence[Link]) -> tuple[list[tuple[str, str]], set[int]]:
    """Return the ends of each link, turned where it would close a cycle, and the indices of those turned."""
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
    for name in ready:  # grows while it is walked
        layer[name] = max((layer[parent] + 1 for parent in parents[name]), default=0)
        for child in children[name]:
            missing[child] -= 1
            if not missing[child]:
                ready.append(child)
    for name in reversed(ready):  # what feeds more than it is fed moves down to what needs it: shorter arrows
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


def _neighbours(chains: list[list[Vertex]]) -> tuple[dict[Vertex, list[Vertex]], dict[Vertex, list[Vertex]]]:
    above: dict[Vertex, list[Vertex]] = {}
    below: dict[Vertex, list[Vertex]] = {}
    for chain in chains:
        for upper, lower in pairwise(chain):
            below.setdefault(upper, []).append(lower)
            above.setdefault(lower, []).append(upper)
    return above, below


def _ordered(rows: list[list[Vertex]], chains: list[list[Vertex]]) -> list[list[Vertex]]:
    above, below = _neighbours(chains)
    best, fewest = rows, _crossings(rows, below)
    for sweep in range(_SWEEPS):
        rows = [list(row) for row in rows]
        downward = sweep % 2 == 0
        near = above if downward else below
        indices = range(1, len(rows)) if downward else range(len(rows) - 2, -1, -1)
        for index in indices:
            fixed = rows[index - 1 if downward else index + 1]
            rows[index] = _by_median(rows[index], fixed, near)
        _swap_neighbours(rows, above, below)
        crossings = _crossings(rows, below)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _by_median(row: list[Vertex], fixed: list[Vertex], near: Mapping[Vertex, list[Vertex]]) -> list[Vertex]:
    place_of = {vertex: float(index) for index, vertex in enumerate(fixed)}
    wish = {vertex: median([place_of[other] for other in near[vertex]]) for vertex in row if near.get(vertex)}
    movable = sorted((vertex for vertex in row if vertex in wish), key=wish.__getitem__)
    rest = iter(movable)  # what has no neighbour there keeps its place
    return [next(rest) if vertex in wish else vertex for vertex in row]


def _swap_neighbours(rows: list[list[Vertex]], above: Mapping[Vertex, list[Vertex]],
                     below: Mapping[Vertex, list[Vertex]]) -> None:
    for index, row in enumerate(rows):
        sides = []
        for other, near in ((index - 1, above), (index + 1, below)):
            if 0 <= other < len(rows):
                place_of = {vertex: at for at, vertex in enumerate(rows[other])}
                sides.append({vertex: [place_of[v] for v in near.get(vertex, ())] for vertex in row})
        for at in range(len(row) - 1):
            left, right = row[at], row[at + 1]
            gain = sum(_pair_crossings(side[left], side[right]) - _pair_crossings(side[right], side[left])
                       for side in sides)
            if gain > 0:
                row[at], row[at + 1] = right, left


def _pair_crossings(left: list[int], right: list[int]) -> int:
    return sum(a > b for a in left for b in right)


def _crossings(rows: list[list[Vertex]], below: Mapping[Vertex, list[Vertex]]) -> int:
    total = 0
    for upper, lower in pairwise(rows):
        place_of = {vertex: index for index, vertex in enumerate(lower)}
        ends = [place for vertex in upper for place in sorted(place_of[v] for v in below.get(vertex, ()))]
        counts = [0] * (len(lower) + 1)  # Fenwick tree of the ends seen so far
        for seen, end in enumerate(ends):
            total += seen - _sum_to(counts, end)
            _count(counts, end)
    return total


def _sum_to(tree: list[int], index: int) -> int:
    total, index = 0, index + 1
    while index:
        total += tree[index]
        index &= index - 1
    return total


def _count(tree: list[int], index: int) -> None:
    index += 1
    while index < len(tree):
        tree[index] += 1
        index += index & -index


def _ports(rows: list[list[Vertex]], chains: list[list[Vertex]], links: Sequence[Link],
           turned: set[int]) -> dict[tuple[int, Vertex], float]:
    """Return for (link, its end) where on the box the arrow meets it, in px from the centre.

    At the target each arrow has room for its label; at the source arrows that carry the same files share a port.
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


def _positions(rows: list[list[Vertex]], chains: list[list[Vertex]], ports: Mapping[tuple[int, Vertex], float],
               widths: Mapping[str, float], gap: float) -> dict[Vertex, float]:
    pulls = _pulls(rows, chains, ports)
    offsets = [_offsets(row, widths, gap) for row in rows]
    x = {vertex: at - places[-1] / 2 for row, places in zip(rows, offsets, strict=True)
         for vertex, at in zip(row, places, strict=True)}
    for step in range(_RELAXATIONS):
        # Squares first, which converge from anywhere; then (reweighted) the plain sum of bends, which makes most
        # arrows quite straight and a few bend, where squares would bend all a little.
        absolute = step >= _RELAXATIONS // 4
        for index in range(len(rows)) if step % 2 else reversed(range(len(rows))):
            wishes, weights = [], []
            for vertex in rows[index]:
                goals = [(x[other] + shift, weight) for other, shift, weight in pulls[vertex]] or [(x[vertex], 1e-3)]
                if absolute:
                    goals = [(goal, weight / (abs(goal - x[vertex]) + _STRAIGHT)) for goal, weight in goals]
                weights.append(sum(weight for _, weight in goals))
                wishes.append(sum(goal * weight for goal, weight in goals) / weights[-1])
            fitted = _monotone([wish - at for wish, at in zip(wishes, offsets[index], strict=True)], weights)
            x.update({vertex: value + at for vertex, value, at in zip(rows[index], fitted, offsets[index], strict=True)})
    return x


def _pulls(rows: list[list[Vertex]], chains: list[list[Vertex]],
           ports: Mapping[tuple[int, Vertex], float]) -> dict[Vertex, list[tuple[Vertex, float, float]]]:
    """Return for each vertex its neighbours, its shift from each for a straight arrow, and how much that matters."""
    pulls: dict[Vertex, list[tuple[Vertex, float, float]]] = {vertex: [] for row in rows for vertex in row}
    for index, chain in enumerate(chains):
        for upper, lower in pairwise(chain):
            weight = (3.0, 1.0, 8.0)[isinstance(upper, tuple) + isinstance(lower, tuple)]
            shift = ports.get((index, upper), 0.0) - ports.get((index, lower), 0.0)
            pulls[lower].append((upper, shift, weight))
            pulls[upper].append((lower, -shift, weight))
    return pulls


def _offsets(row: list[Vertex], widths: Mapping[str, float], gap: float) -> list[float]:
    """Return the centres of a layer's vertices when they stand as close as they may."""
    sizes = [widths[vertex] if isinstance(vertex, str) else _PASSING_WIDTH for vertex in row]
    offsets = [0.0]
    for (left, right), (first, second) in zip(pairwise(row), pairwise(sizes), strict=True):
        space = gap if isinstance(left, str) and isinstance(right, str) else gap / 2
        offsets.append(offsets[-1] + (first + second) / 2 + space)
    return offsets


def _monotone(values: list[float], weights: list[float]) -> list[float]:
    """Return the non-decreasing values nearest to the given ones (weighted least squares; pool adjacent violators)."""
    blocks: list[list[float]] = []  # mean, weight, count
    for value, weight in zip(values, weights, strict=True):
        blocks.append([value, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, heavy, count = blocks.pop()
            last = blocks[-1]
            last[0] = (last[0] * last[1] + mean * heavy) / (last[1] + heavy)
            last[1] += heavy
            last[2] += count
    return [mean for mean, _, count in blocks for _ in range(int(count))]
