"""Order the vertices of a layered graph within their layers, so that few edges cross.

Medians and swaps of neighbours: Gansner, Koutsofios, North & Vo, IEEE Trans. Softw. Eng. 19, 214 (1993), section 3.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping
from itertools import pairwise
from statistics import median

Vertex = str | tuple[int, int]  # a box by its name, or (edge index, layer): a place where a long edge passes a layer

_SWEEPS = 24


def ordered(rows: list[list[Vertex]], chains: list[list[Vertex]]) -> list[list[Vertex]]:
    """Return the layers in an order with few crossings.

    Parameters
    ----------
    rows
        The vertices of each layer, in any order.
    chains
        For each edge its vertices from layer to layer.
    """
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


def _neighbours(chains: list[list[Vertex]]) -> tuple[dict[Vertex, list[Vertex]], dict[Vertex, list[Vertex]]]:
    above: dict[Vertex, list[Vertex]] = {}
    below: dict[Vertex, list[Vertex]] = {}
    for chain in chains:
        for upper, lower in pairwise(chain):
            below.setdefault(upper, []).append(lower)
            above.setdefault(lower, []).append(upper)
    return above, below


def _by_median(row: list[Vertex], fixed: list[Vertex], near: Mapping[Vertex, list[Vertex]]) -> list[Vertex]:
    place_of = {vertex: float(index) for index, vertex in enumerate(fixed)}
    wish = {vertex: median([place_of[other] for other in near[vertex]]) for vertex in row if near.get(vertex)}
    movable = sorted((vertex for vertex in row if vertex in wish), key=wish.__getitem__)
    rest = iter(movable)  # vertices without a neighbour there keep their place
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
        seen: list[int] = []  # ends of the edges further left, sorted
        for end in ends:
            total += len(seen) - bisect_right(seen, end)
            insort(seen, end)
    return total
