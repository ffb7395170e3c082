"""Search grids: coarse orientations and shifts, and the oversampled ones within each coarse one.

Method: adaptive oversampling (Scheres 2012, J. Struct. Biol. 180, section 2.4): each coarse sample has children at half
the step, 4 directions × 2 in-plane angles (2 in 2D) and 2 × 2 shifts.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from cryosnake.errors import CryosnakeError
from cryosnake.numerics import healpix
from cryosnake.numerics.backend import Array, is_gpu, namespace
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.refine.grids.pose_distance import in_plane_angle, pair_distances, squared_distance
from cryosnake.numerics.symmetry import asymmetric_unit


@dataclass(frozen=True)
class SphereGrid:
    """Orientations of one or several maps: HEALPix directions × in-plane angles, rotated by a random perturbation.

    An orientation's number is `(class · directions + direction index) · psi_count + psi index`: each class has
    consecutive numbers.

    Attributes
    ----------
    order : int
        HEALPix order of the coarse grid.
    pixels : (d,) int64
        Nested pixel numbers of the directions in use.
    perturbation : float
        In units of the angular step, −0.5 … 0.5.
    classes : int
        Number of maps.
    psi_offset : float
        In-plane angle of index 0, in units of the step: see `levels.parent_grid`.
    log_shares : tuple of float
        Log priors of the classes, which `near` adds to that of the angles; empty for equal ones.
    oversampled : bool
        False for a grid in which each orientation is its own only child.
    """

    order: int
    pixels: np.ndarray
    perturbation: float
    classes: int = 1
    _: KW_ONLY
    psi_offset: float = 0.0
    log_shares: tuple[float, ...] = ()
    oversampled: bool = True

    @property
    def step(self) -> float:
        """Angular step in degrees."""
        return healpix.angular_step(self.order)

    @property
    def psi_count(self) -> int:
        """Number of in-plane angles."""
        return 6 << self.order

    @property
    def size(self) -> int:
        """Number of coarse orientations of all classes."""
        return self.classes * len(self.pixels) * self.psi_count

    @property
    def children(self) -> int:
        """Number of oversampled orientations of each coarse one."""
        return 8 if self.oversampled else 1

    @cached_property
    def _turn(self) -> np.ndarray:
        angle = self.perturbation * self.step
        return euler_to_matrix(np.array(angle), np.array(angle), np.array(angle))

    def _turned(self, matrices: Array) -> Array:
        turn = namespace(matrices).asarray(self._turn)
        return (matrices.reshape(-1, 3) @ turn).reshape(matrices.shape)

    def direction_of(self, numbers: Array) -> Array:
        """Return class · directions + direction index of orientations."""
        return numbers // self.psi_count

    def class_of(self, numbers: Array) -> Array:
        """Return the class (counted from 0)."""
        return numbers // (len(self.pixels) * self.psi_count)

    def class_prior(self, numbers: Array) -> Array:
        """Return the log prior (n,) float32 of the classes of orientations."""
        xp = namespace(numbers)
        return xp.asarray(self.log_shares or (0.0,) * self.classes, xp.float32)[self.class_of(numbers)]

    def class_mass(self, direction_mass: np.ndarray) -> np.ndarray:
        """Return the sums (classes,) over each class of what `direction_of` counts, (≤ classes · directions,)."""
        return np.bincount(np.arange(len(direction_mass)) // len(self.pixels), direction_mass, self.classes)

    def _pixel_of(self, numbers: Array) -> Array:
        return namespace(numbers).asarray(self.pixels)[self.direction_of(numbers) % len(self.pixels)]

    def matrices(self, numbers: Array) -> Array:
        """Return the rotation matrices (n, 3, 3) of coarse orientations."""
        rot, tilt = healpix.pixel_angles(self.order, self._pixel_of(numbers))
        psi = (numbers % self.psi_count + self.psi_offset) * self.step
        return self._turned(euler_to_matrix(rot, tilt, psi))

    def child_matrices(self, numbers: Array) -> Array:
        """Return the rotation matrices (n, children, 3, 3) of the oversampled orientations.

        Near the poles a child's rot differs much from its parent's; psi compensates for it, so that children are
        neighbours of their parent as rotations, not only in direction.
        """
        if not self.oversampled:
            return self.matrices(numbers)[:, None]
        xp, pixels = namespace(numbers), self._pixel_of(numbers)
        inside = healpix.children(pixels)  # (n, 4)
        rot, tilt = (angle.reshape(inside.shape) for angle in healpix.pixel_angles(self.order + 1, inside.ravel()))
        parent_rot, parent_tilt = healpix.pixel_angles(self.order, pixels)
        frame = euler_to_matrix(parent_rot, parent_tilt, xp.zeros_like(parent_rot))[:, None]
        level = in_plane_angle(frame, euler_to_matrix(rot, tilt, xp.zeros_like(rot)))
        quarters = xp.asarray([-0.25, 0.25])
        psi = ((numbers % self.psi_count + self.psi_offset)[:, None] + quarters) * self.step  # (n, 2)
        angles = (rot[:, :, None], tilt[:, :, None], level[:, :, None] + psi[:, None, :])
        matrices = euler_to_matrix(*xp.broadcast_arrays(*angles))  # (n, 4, 2, 3, 3)
        return self._turned(matrices.reshape(len(numbers), 8, 3, 3))

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(healpix.directions(*healpix.pixel_angles(self.order, self.pixels)))

    def near(self, poses: np.ndarray, sigma: float, width: float = 3.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the coarse orientations near given ones, with a Gaussian prior on direction and in-plane angle.

        Parameters
        ----------
        poses : (n, 3, 3)
            Centres of the prior.
        sigma : float
            Standard deviation of both angles, degrees.
        width : float
            Orientations further away than this many sigma are left out.

        Returns
        -------
        particle, orientation : (samples,) int64
            Pairs in order of the particle; at least the nearest orientation of each, in every class.
        log_prior : (samples,) float32
        """
        bare = np.asarray(poses, np.float64) @ self._turn.T  # in the frame of the unperturbed grid
        reach = 2.0 * np.sin(np.radians(min(width * sigma, 180.0)) / 2.0)
        found = self._tree.query_ball_point(bare[:, 2], reach)
        nearest = np.asarray(self._tree.query(bare[:, 2])[1])
        lists = [np.asarray(f if f else [n], np.int64) for f, n in zip(found, nearest, strict=True)]
        particle = np.repeat(np.arange(len(bare)), [len(f) for f in lists])
        direction = np.concatenate(lists) if lists else np.zeros(0, np.int64)
        return self._in_all_classes(*self._with_psi(bare, particle, direction, sigma, width))

    def _in_all_classes(self, particle: np.ndarray, number: np.ndarray, log_prior: np.ndarray,
                        ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self.classes == 1:
            return particle, number, log_prior
        per_class = len(self.pixels) * self.psi_count
        numbers = (np.arange(self.classes) * per_class)[:, None] + number
        priors = np.tile(log_prior, self.classes) + self.class_prior(numbers.ravel())
        order = np.argsort(np.tile(particle, self.classes), kind="stable")
        return np.tile(particle, self.classes)[order], numbers.ravel()[order], priors[order]

    def _with_psi(self, bare: np.ndarray, particle: np.ndarray, direction: np.ndarray, sigma: float, width: float,
                  ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        frame = self._frames[direction]
        away = np.degrees(np.arccos(np.clip((bare[particle, 2] * frame[:, 2]).sum(-1), -1.0, 1.0)))
        psi = in_plane_angle(bare[particle], frame) - self.psi_offset * self.step
        reach = max(int(np.floor(width * sigma / self.step + 0.5)), 0)
        index = np.rint(psi / self.step).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
        off = index * self.step - psi[:, None]
        keep = (np.abs(off) <= width * sigma) | (index == index[:, reach : reach + 1])
        row, column = np.nonzero(keep)
        log_prior = -0.5 * (away[row] ** 2 + off[row, column] ** 2) / sigma**2
        number = direction[row] * self.psi_count + index[row, column] % self.psi_count
        return particle[row], number, log_prior.astype(np.float32)

    @cached_property
    def _frames(self) -> np.ndarray:
        """Rotation matrices (directions, 3, 3) float64 of psi = 0, before the perturbation."""
        rot, tilt = healpix.pixel_angles(self.order, self.pixels)
        return euler_to_matrix(rot, tilt, np.zeros_like(rot))

    def log_prior(self, poses: Array, particle: Array, numbers: Array, sigma: float, flat: float = 0.0) -> Array:
        """Return the log prior (pairs,) float32 of `near` for pairs of pose and orientation, on their device.

        Angles up to `flat` degrees count as 0; there is no cut-off at some number of sigma, so that no orientation
        found from the images loses all probability.

        Parameters
        ----------
        poses : (n, 3, 3)
        particle, numbers : (pairs,) int64
            Index of the pose, and number of the orientation.
        """
        xp = namespace(numbers)
        bare = xp.asarray(poses, xp.float64) @ xp.asarray(self._turn.T)
        direction, psi = self.direction_of(numbers) % len(self.pixels), numbers % self.psi_count + self.psi_offset
        if is_gpu(numbers):
            distance = squared_distance(bare[particle], xp.asarray(self._frames)[direction], psi * self.step, flat)
        else:
            distance = np.empty(len(numbers))
            pair_distances(bare, self._frames, particle, direction, psi * self.step, flat, distance)
        return (distance * (-0.5 / sigma**2)).astype(xp.float32) + self.class_prior(numbers)


def sphere_grid(order: int, symmetry: str, perturbation: float = 0.0, whole: bool = False, classes: int = 1,
                ) -> SphereGrid:
    """Return the grid over one asymmetric unit of the group, or over the whole sphere (for local searches)."""
    pixels = np.arange(healpix.pixel_count(order))
    if not whole:
        pixels = pixels[asymmetric_unit(healpix.directions(*healpix.pixel_angles(order)), symmetry)]
    if len(pixels) < 2:
        raise CryosnakeError(f"sampling: {healpix.angular_step(order + 1):g} degrees is too coarse for {symmetry}: its "
                             f"asymmetric unit then has {len(pixels)} direction(s); choose a finer step")
    return SphereGrid(order, pixels, perturbation, classes)


@dataclass(frozen=True)
class PlaneGrid:
    """In-plane orientations of class averages: number = class · psi_count + psi index.

    `children` is 2, or 1 where the coarse step is fine enough: a coarse orientation is then its own child.
    """

    classes: int
    psi_count: int
    perturbation: float
    children: int = 2

    @property
    def step(self) -> float:
        """Angular step in degrees."""
        return 360.0 / self.psi_count

    @property
    def size(self) -> int:
        """Number of coarse orientations of all classes."""
        return self.classes * self.psi_count

    def direction_of(self, numbers: Array) -> Array:
        """Return the class (counted from 0)."""
        return numbers // self.psi_count

    def class_of(self, numbers: Array) -> Array:
        """Return the class (counted from 0)."""
        return numbers // self.psi_count

    def angles(self, numbers: Array) -> Array:
        """Return psi (n,) in degrees of coarse orientations."""
        return (numbers % self.psi_count + self.perturbation) * self.step

    def child_angles(self, numbers: Array) -> Array:
        """Return psi (n, children) in degrees of the oversampled orientations."""
        apart = [-0.25, 0.25] if self.children == 2 else [0.0]
        return self.angles(numbers)[:, None] + namespace(numbers).asarray(apart) * self.step


@dataclass(frozen=True)
class ShiftGrid:
    """Shifts in pixels: coarse (t, 2), oversampled (f, 2), and the oversampled ones of each coarse one, sub (t, 4).

    Without oversampling the fine shifts are the coarse ones, and sub is (t, 1).
    """

    coarse: np.ndarray
    fine: np.ndarray
    sub: np.ndarray


def shift_grid(reach: float, step: float, perturbation: float = 0.0, oversampled: bool = True) -> ShiftGrid:
    """Return the shifts on a square grid of `step` pixels within a circle of `reach` pixels.

    >>> shift_grid(5.0, 2.0).coarse.shape, shift_grid(5.0, 2.0).fine.shape
    ((21, 2), (84, 2))
    """
    n = int(reach / step + 1e-6)
    y, x = np.mgrid[-n : n + 1, -n : n + 1] * step
    inside = x**2 + y**2 <= reach**2 + 1e-3
    coarse = np.stack([x[inside], y[inside]], -1)
    quarter = step / 4.0 * np.array([(-1, -1), (1, -1), (-1, 1), (1, 1)])
    coarse = coarse + perturbation * step
    if not oversampled:
        return ShiftGrid(coarse, coarse, np.arange(len(coarse))[:, None])
    fine = coarse[:, None, :] + quarter
    return ShiftGrid(coarse, fine.reshape(-1, 2), np.arange(4 * len(coarse)).reshape(-1, 4))
