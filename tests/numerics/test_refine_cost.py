"""What is counted before an expectation step against the arrays that it makes, and budgets that are kept."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.grids import PlaneGrid, shift_grid, sphere_grid
from cryosnake.numerics.refine.grids.references import class_references, map_reference
from cryosnake.numerics.refine.grids.samples import Operands, blocks_of
from cryosnake.numerics.refine.kernels.budget import budget, budget_of, particles_of, use_budget
from cryosnake.numerics.refine.kernels.dispatch import samples_at_once, slice_bytes
from cryosnake.numerics.refine.search import cost, expectation
from cryosnake.numerics.refine.search.expectation import coarse_slices, search_everywhere
from cryosnake.programs.refinement.step import map_sums

BOX, SIZE, COARSE, COUNT = 24, 18, 12, 7


def workload(classes, grid, shifts, dimensions=3):
    return cost.Workload(particles=COUNT, box=BOX, classes=classes, size=SIZE, coarse_size=COARSE,
                         orientations=grid.size, shifts=len(shifts.coarse), children=grid.children,
                         sub=shifts.sub.shape[1], dimensions=dimensions)


@pytest.mark.parametrize("classes", [1, 3])
def test_bytes_are_those_of_the_arrays(classes):
    grid, shifts = sphere_grid(1, "C1", classes=classes), shift_grid(2.0, 1.0)
    load = workload(classes, grid, shifts)
    reference = map_reference(np.ones((classes, BOX, BOX, BOX), np.float32), SIZE, grid)
    assert cost.reference_bytes(load) == reference.transforms.nbytes
    for threads, limit in ((1, 0), (numba.get_num_threads(), 1 << 40)):
        with use_budget(budget_of(limit)):
            assert cost.sums_bytes(load, threads) == map_sums(classes, SIZE // 2, np.zeros(0)).nbytes
    slices = coarse_slices(reference, full_band(BOX).cut(COARSE))
    assert cost.slices_bytes(load) == slices.stacked.nbytes + slices.power.nbytes


def test_bytes_of_class_averages():
    grid = PlaneGrid(3, 10, 0.0)
    load = workload(3, grid, shift_grid(2.0, 1.0), dimensions=2)
    references = class_references(np.ones((3, BOX, BOX), np.float32), SIZE, grid)
    assert cost.reference_bytes(load) == references.transforms.nbytes


def test_operations_are_those_of_the_matrix_products(monkeypatch):
    grid, shifts, band = sphere_grid(1, "C1"), shift_grid(2.0, 1.0), full_band(BOX).cut(COARSE)
    rng = np.random.default_rng(1)
    reference = map_reference(rng.normal(size=(1, BOX, BOX, BOX)).astype(np.float32), SIZE, grid)
    images = rng.normal(size=(COUNT, band.kx.size)).astype(np.complex64)
    operands = Operands(images, images, np.ones(images.shape, np.float32), np.zeros((COUNT, 2)), offset_sigma=3.0)
    done = []

    def product(left, right, reduced=False):
        done.append(2 * left.shape[0] * left.shape[1] * right.shape[1])
        return left @ right

    monkeypatch.setattr(expectation, "product", product)
    search_everywhere(operands, coarse_slices(reference, band), shifts, np.zeros(grid.size, np.float32))
    load = workload(1, grid, shifts)
    norms = 2 * COUNT * band.kx.size * grid.size
    assert sum(done) + norms == cost.search_operations(load)


def test_a_small_budget_makes_small_chunks_and_blocks():
    assert budget() == budget_of(1 << 40)
    counts = np.full(4, 10_000)
    with use_budget(budget_of(32 << 20)):
        assert slice_bytes(np.zeros(0)) == 2 << 20
        assert particles_of(budget().block, 128, 256) < 10
        assert [part.stop for part in blocks_of(counts, samples_at_once(counts))] == [1, 2, 3, 4]
    assert len(blocks_of(counts, samples_at_once(counts))) == 1 and slice_bytes(np.zeros(0)) == 1 << 28
    assert particles_of(0, 128, 256) == 1


def test_a_smaller_budget_makes_the_search_smaller():
    load = cost.Workload(particles=10_000, box=256, classes=1, size=256, coarse_size=40, orientations=4608, shifts=29,
                         children=8, sub=4)
    sizes = [cost.search_bytes(load, particles_of(given.block // 4, 256, 256), 4, given)
             for given in (budget_of(share << 30) for share in (1, 2, 4, 8))]
    assert sizes == sorted(sizes) and sizes[0] < 1.2 * (1 << 30) and sizes[-1] < 8 << 30
