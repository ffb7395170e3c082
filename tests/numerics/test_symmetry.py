import re
import subprocess

import numpy as np
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.healpix import directions, pixel_angles
from cryosnake.numerics.symmetry import asymmetric_unit, nearest_mate, operators

ORDERS = {"C1": 1, "C7": 7, "c3": 3, "D2": 4, "D7": 14, "T": 12, "O": 24, "I": 60, "I1": 60, "I2": 60, "I3": 60,
          "I4": 60}


@pytest.mark.parametrize(("group", "order"), ORDERS.items())
def test_order_and_closure(group, order):
    matrices = operators(group)
    assert len(matrices) == order
    np.testing.assert_allclose(np.linalg.det(matrices), 1.0, atol=1e-9)
    products = np.einsum("aij,bjk->abik", matrices, matrices).reshape(-1, 9)
    distance = np.abs(products[:, None] - matrices.reshape(1, order, 9)).max(2).min(1)
    assert distance.max() < 1e-9


@pytest.mark.parametrize("group", ["C1", "C4", "D2", "D3", "T", "O", "I", "I1", "I3"])
def test_asymmetric_unit_covers_the_sphere_once(group):
    sphere = directions(*pixel_angles(4, np.arange(0, 3072, 7)))
    matrices = operators(group)
    turned = np.einsum("gij,nj->gni", matrices, sphere)
    hits = asymmetric_unit(turned.reshape(-1, 3), group).reshape(len(matrices), -1).sum(0)
    assert hits.min() >= 1
    assert (hits == 1).mean() > 0.95  # more than one only on symmetry axes


def test_unknown_group_is_refused_with_the_known_ones():
    for name in ("X5", "C0", "D", "C"):
        with pytest.raises(CryosnakeError, match="Cn, Dn, T, O"):
            operators(name)


def test_nearest_mate_undoes_a_symmetry_operation():
    rng = np.random.default_rng(4)
    poses = euler_to_matrix(rng.uniform(-180, 180, 20), rng.uniform(0, 180, 20), rng.uniform(-180, 180, 20))
    group = operators("O")
    moved = poses @ group[rng.integers(0, 24, 20)]
    np.testing.assert_allclose(nearest_mate(moved, poses, "O"), poses, atol=1e-9)


@pytest.mark.relion
@pytest.mark.parametrize("group", ["C3", "D2", "D5", "T", "O", "I", "I1", "I2", "I3", "I4"])
def test_operators_are_those_that_relion_prints(relion, group):
    text = subprocess.run([relion / "relion_refine", "--sym", group, "--print_symmetry_ops"], capture_output=True,
                          text=True, timeout=60, check=False).stdout
    numbers = [block.split("Euler")[0].split() for block in re.split(r"R\(\d+\)=", text)[1:]]
    theirs = np.array([[float(n) for n in block[:9]] for block in numbers])
    ours = operators(group).reshape(-1, 9)
    assert theirs.shape == ours.shape
    assert np.abs(theirs[:, None] - ours[None]).max(2).min(1).max() < 1e-4
