"""Give the vertices of an ordered, layered graph their horizontal positions: most edges straight, a few bent.

The weighted sum of bends is minimised with fixed order and minimum distances, layer by layer; each step is an
isotonic regression, solved exactly by pooling adjacent violators.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from cryosnake.report.flowchart.order import Vertex

_Neighbour = tuple[Vertex, float] | None  # the next in its layer, and the minimum distance of the centres, px

_RELAXATIONS = 200
_STRAIGHT = 0.3  # px; a bend below this counts as none
_PASSING_WIDTH = 18.0  # space for an edge that passes a layer, px


def positions(rows: list[list[Vertex]], chains: list[list[Vertex]], ports: Mapping[tuple[int, Vertex], float],
              widths: Mapping[str, float], gap: float) -> dict[Vertex, float]:
    """Return the centre of each vertex, px.

    Parameters
    ----------
    rows
        The vertices of each layer from left to right.
    chains
        For each edge its vertices from layer to layer.
    ports
        (edge index, end of it) to the distance from the centre at which the edge meets its box, px.
    widths
        Box name to its width, px.
    gap
        Minimum distance between boxes, px.
    """
    pulls = _pulls(rows, chains, ports)
    offsets = [_offsets(row, widths, gap) for row in rows]
    x = {vertex: at - places[-1] / 2 for row, places in zip(rows, offsets, strict=True)
         for vertex, at in zip(row, places, strict=True)}
    for step in range(_RELAXATIONS):
        # Least squares first, which converge from any start; then (reweighted) the plain sum of bends, which leaves
        # most arrows straight and bends a few, where least squares would bend all a little.
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
            x.update(zip(rows[index], (a + b for a, b in zip(fitted, offsets[index], strict=True)), strict=True))
    _straighten(x, rows, offsets, pulls)
    return x


def _straighten(x: dict[Vertex, float], rows: list[list[Vertex]], offsets: list[list[float]],
                pulls: Mapping[Vertex, list[tuple[Vertex, float, float]]]) -> None:
    """Shift whole straight pieces by small steps that straighten one more arrow, where there is space.

    Moving vertices one at a time cannot do this: each would bend the arrow to its neighbour.
    """
    room = {vertex: (left, right) for row, at in zip(rows, offsets, strict=True)
            for vertex, left, right in zip(row, *_neighbours_in_row(row, at), strict=True)}
    for start in pulls:
        piece = _straight_piece(start, x, pulls)
        bends = [(x[other] + shift - x[vertex], weight) for vertex in piece for other, shift, weight in pulls[vertex]
                 if other not in piece]
        for move, _ in sorted(bends, key=lambda bend: abs(bend[0])):
            gain = sum(weight * (abs(bend) - abs(bend - move)) for bend, weight in bends)
            if gain > 0 and all(_fits(vertex, move, x, piece, room[vertex]) for vertex in piece):
                x.update({vertex: x[vertex] + move for vertex in piece})
                break


def _neighbours_in_row(row: list[Vertex], at: list[float]) -> tuple[list[_Neighbour], list[_Neighbour]]:
    distances = [second - first for first, second in pairwise(at)]
    left: list[_Neighbour] = [None, *zip(row, distances, strict=False)]
    right: list[_Neighbour] = [*zip(row[1:], distances, strict=True), None]
    return left, right


def _straight_piece(start: Vertex, x: Mapping[Vertex, float],
                    pulls: Mapping[Vertex, list[tuple[Vertex, float, float]]]) -> set[Vertex]:
    piece, waiting = {start}, [start]
    while waiting:
        vertex = waiting.pop()
        for other, shift, _ in pulls[vertex]:
            if other not in piece and abs(x[other] + shift - x[vertex]) < 0.5:
                piece.add(other)
                waiting.append(other)
    return piece


def _fits(vertex: Vertex, move: float, x: Mapping[Vertex, float], piece: set[Vertex],
          room: tuple[_Neighbour, _Neighbour]) -> bool:
    side = room[0] if move < 0 else room[1]
    return side is None or side[0] in piece or abs(x[side[0]] - x[vertex]) - abs(move) >= side[1] - 0.01


def _pulls(rows: list[list[Vertex]], chains: list[list[Vertex]],
           ports: Mapping[tuple[int, Vertex], float]) -> dict[Vertex, list[tuple[Vertex, float, float]]]:
    """Return for each vertex its neighbours, its shift from each for a straight arrow, and the weight of that arrow."""
    pulls: dict[Vertex, list[tuple[Vertex, float, float]]] = {vertex: [] for row in rows for vertex in row}
    for index, chain in enumerate(chains):
        for upper, lower in pairwise(chain):
            weight = (3.0, 1.0, 8.0)[isinstance(upper, tuple) + isinstance(lower, tuple)]
            shift = ports.get((index, upper), 0.0) - ports.get((index, lower), 0.0)
            pulls[lower].append((upper, shift, weight))
            pulls[upper].append((lower, -shift, weight))
    return pulls


def _offsets(row: list[Vertex], widths: Mapping[str, float], gap: float) -> list[float]:
    """Return the centres of a layer's vertices packed as closely as allowed."""
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
