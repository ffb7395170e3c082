import numpy as np
import pytest

from cryosnake.numerics.healpix import angular_step, children, directions, pixel_angles, pixel_count


def _ring_scheme(order):
    """Centres in ring order, from the definition of the rings (Górski et al. 2005, eqs. 4 to 9)."""
    nside, z, phi = 1 << order, [], []
    for ring in range(1, 4 * nside):
        if ring < nside:
            height, count, shift = 1 - ring**2 / (3 * nside**2), 4 * ring, 0.5
        elif ring <= 3 * nside:
            height, count, shift = 4 / 3 - 2 * ring / (3 * nside), 4 * nside, 0.5 * ((ring - nside) % 2 == 0)
        else:
            height, count, shift = -(1 - (4 * nside - ring) ** 2 / (3 * nside**2)), 4 * (4 * nside - ring), 0.5
        z += [height] * count
        phi += list(360.0 * (np.arange(count) + shift) / count)
    return directions(np.array(phi), np.degrees(np.arccos(z)))


@pytest.mark.parametrize("order", [0, 1, 2, 3, 5])
def test_nested_centres_are_the_ring_centres_in_another_order(order):
    nested = directions(*pixel_angles(order))
    ring = _ring_scheme(order)
    assert nested.shape == ring.shape == (pixel_count(order), 3)
    nearest = (nested @ ring.T).argmax(1)
    assert len(set(nearest)) == len(nested)
    np.testing.assert_allclose(nested, ring[nearest], atol=1e-9)


def test_the_order_of_pixels_is_that_of_a_relion_sampling_file():
    # first rows of sampling_directions at order 6, D2, as RELION 3.1 wrote them
    rot, tilt = pixel_angles(6)
    np.testing.assert_allclose(rot[:4], [45.0, 45.703125, 44.296875, 45.0], atol=1e-9)
    np.testing.assert_allclose(tilt[:4], [89.403158, 88.806252, 88.806252, 88.209215], atol=1e-6)


def test_children_tile_their_parent():
    order = 3
    pixels = np.arange(pixel_count(order))
    parent, child = directions(*pixel_angles(order)), directions(*pixel_angles(order + 1))
    kids = children(pixels)
    assert sorted(kids.ravel()) == list(range(pixel_count(order + 1)))
    centroid = child[kids].mean(1)
    centroid /= np.linalg.norm(centroid, axis=1, keepdims=True)
    angle = np.degrees(np.arccos(np.clip((centroid * parent).sum(1), -1, 1)))
    assert angle.max() < 0.1 * angular_step(order)


def test_a_choice_of_pixels_gives_their_angles_only():
    rot, tilt = pixel_angles(4)
    some = np.array([7, 1000, 3071])
    np.testing.assert_array_equal(pixel_angles(4, some), [rot[some], tilt[some]])


def test_step_names_of_relion():
    assert [angular_step(order) for order in (1, 2, 3, 4)] == [30.0, 15.0, 7.5, 3.75]
