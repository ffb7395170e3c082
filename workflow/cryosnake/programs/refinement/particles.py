"""A particle set: the STAR file's tables, checked, with CTF values and poses as arrays."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import FLAGS, checked, numbers_of
from cryosnake.io.star import read_star
from cryosnake.io.star_optics import with_optics
from cryosnake.numerics.backend import Array, namespace
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.refine.grids.bands import Band
from cryosnake.numerics.refine.grids.images import ctf_at, soft_disc
from cryosnake.programs.optics.groups import OpticsGroup, optics_groups
from cryosnake.programs.refinement.particle_checks import check_values
from cryosnake.programs.refinement.same_particles import first_at_place, first_of_image

MASK_EDGE = 5.0  # pixels
_OPTICS_COLUMNS = ("rlnOpticsGroup", "rlnImagePixelSize", "rlnImageSize")
_CTF_OPTICS = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
_MICROGRAPH_PIXELS = ("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize")
_CTF_COLUMNS = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")


@dataclass(frozen=True, kw_only=True)
class ParticleSet:
    """Particles of one box and pixel size.

    Attributes
    ----------
    path : str
        The STAR file.
    tables : dict of DataFrame
        "optics" and "particles".
    box : int
        Pixels.
    pixel_size : float
        Å.
    optics : (n,) int64
        Index of each particle's row in the optics table.
    group : (n,) int64
        Index of its micrograph (or rlnGroupName) in `group_names`.
    group_names : list of str
    groups : tuple of OpticsGroup
        The rows of the optics table.
    """

    path: str
    tables: dict[str, pd.DataFrame]
    box: int
    pixel_size: float
    optics: np.ndarray
    group: np.ndarray
    group_names: list[str]
    groups: tuple[OpticsGroup, ...]

    def __len__(self) -> int:
        return len(self.table)

    @property
    def table(self) -> pd.DataFrame:
        """The particles' rows."""
        return self.tables["particles"]

    @property
    def used_groups(self) -> list[OpticsGroup]:
        """The groups to which particles belong."""
        return [self.groups[number] for number in np.unique(self.optics)]

    def optics_name(self, group: int) -> str:
        """Return the name of an optics group, its number where it has none."""
        return str(self.tables["optics"].iloc[group].get("rlnOpticsGroupName", group + 1))

    @property
    def used_optics(self) -> pd.DataFrame:
        """The rows of the optics table to which particles belong."""
        return self.tables["optics"].iloc[np.unique(self.optics)]

    def first_at_place(self) -> np.ndarray:
        """Return for each particle (n,) the index of the first one of its image or at the same place of its movie."""
        optics = self.tables["optics"]
        label = next((name for name in _MICROGRAPH_PIXELS if name in optics.columns), None)
        place = first_at_place(self.table, None if label is None else numbers_of(optics[label])[self.optics])
        return place[first_of_image(self.table["rlnImageName"])]

    @property
    def length(self) -> float:
        """Å, of the box."""
        return self.box * self.pixel_size

    @property
    def shells(self) -> int:
        """The number of shells up to the Nyquist frequency, including 0."""
        return self.box // 2 + 1

    def shell_at(self, resolution: float) -> int:
        """Return the last shell that is no finer than a resolution in Å."""
        return min(int(self.box * self.pixel_size / resolution), self.box // 2)

    def disc(self, diameter: float, dimensions: int = 2) -> np.ndarray:
        """Return the soft disc, or ball, about a particle of a diameter in Å; no larger than the box."""
        radius = min(diameter / 2.0 / self.pixel_size, self.box / 2 - 1.0)
        return soft_disc(self.box, radius, MASK_EDGE, dimensions=dimensions)

    def describe(self) -> str:
        """Return their number, box, pixel size, micrographs, optics groups and microscope as text."""
        return (f"{len(self)} particles, {self.box} px of {self.pixel_size:g} Å, {len(self.group_names)} micrographs, "
                f"{len(self.tables['optics'])} optics group(s){self._microscopes()}")

    def describe_applied(self) -> str:
        """Return what is applied beyond the usual CTF and to how many particles, "" for nothing."""
        count = np.bincount(self.optics, minlength=len(self.groups))
        words: dict[str, int] = {}
        for group, members in zip(self.groups, count.tolist(), strict=True):
            words |= {word: words.get(word, 0) + members for word in group.applied() if members}
        listed = ", ".join(f"{word} ({members})" for word, members in words.items())
        return f"Applied from the optics groups (particles): {listed}" if words else ""

    def describe_resampled(self) -> str:
        """Return which images are resampled to the box and pixel size of most, "" if all have these."""
        others = ", ".join(f"{count} of {box} px of {pixel:g} Å" for (box, pixel), count
                           in _sizes(self.groups, self.optics).items() if (box, pixel) != (self.box, self.pixel_size))
        return f"Resampled to {self.box} px of {self.pixel_size:g} Å: {others}" if others else ""

    def _microscopes(self) -> str:
        optics = self.used_optics
        if not set(_CTF_OPTICS) <= set(optics.columns):
            return ""
        return "".join(f", {voltage:g} kV, Cs {cs:g} mm, amplitude contrast {amplitude:g}" for voltage, cs, amplitude
                       in dict.fromkeys(zip(*(numbers_of(optics[label]) for label in _CTF_OPTICS), strict=True)))

    def column(self, label: str, default: float = 0.0) -> np.ndarray:
        """Return a column as float64, the default where the table has none."""
        if label not in self.table.columns:
            return np.full(len(self), default)
        return self.table[label].to_numpy(np.float64)

    def defoci(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the CTF parameters of some rows, as `ctf_at` takes them."""
        columns = {"u": "rlnDefocusU", "v": "rlnDefocusV", "angle": "rlnDefocusAngle", "phase_shift": "rlnPhaseShift",
                   "b_factor": "rlnCtfBfactor", "scale": "rlnCtfScalefactor"}
        return {key: self.column(label, 1.0 if key == "scale" else 0.0)[rows] for key, label in columns.items()}

    def ctf(self, rows: np.ndarray, band: Band, intact_first_peak: bool = False, like: Array | None = None) -> Array:
        """Return CTFs (len(rows), pixels) float32, each with its optics group's microscope; on the device of `like`."""
        xp = namespace(band.kx if like is None else like)
        result = xp.empty((len(rows), band.kx.size), xp.float32)
        defoci = self.defoci(rows)
        for index, group in enumerate(self.groups):
            mine = self.optics[rows] == index
            if mine.any():
                assert group.microscope is not None
                own = {key: value[mine] for key, value in defoci.items()}
                values = ctf_at(band, own, self.pixel_size, group.microscope, like=like, even=group.even,
                                intact_first_peak=intact_first_peak)
                if group.distorted or not group.fits(self.box, self.pixel_size):
                    kx, ky = band.frequencies(values)
                    values *= group.seen(kx / self.length, ky / self.length)
                result[xp.asarray(mine)] = values
        return result

    def poses(self) -> np.ndarray:
        """Return rotation matrices (n, 3, 3) of rlnAngleRot, Tilt and Psi; a missing column counts as 0."""
        return euler_to_matrix(*(self.column(f"rlnAngle{name}") for name in ("Rot", "Tilt", "Psi")))

    def offsets(self) -> np.ndarray:
        """Return rlnOriginX/YAngst in pixels, (n, 2): the shift that centres the particle."""
        return self.offsets_of(np.stack([self.column(f"rlnOrigin{axis}Angst") for axis in "XY"], -1))

    def offsets_of(self, origins: np.ndarray) -> np.ndarray:
        """Return origins (n, 2) of images on disk, Å, as shifts of the corrected images in pixels."""
        return self._through(np.linalg.inv, origins) / self.pixel_size

    def origins_of(self, offsets: np.ndarray) -> np.ndarray:
        """Return the inverse of `offsets_of`."""
        return self._through(np.asarray, offsets * self.pixel_size)

    def _through(self, turn: Callable[[np.ndarray], np.ndarray], shifts: np.ndarray) -> np.ndarray:
        """Return shifts (n, 2), each times `turn` of its group's magnification."""
        if not any(group.distorted for group in self.groups):
            return shifts
        matrices = np.stack([turn(group.magnification.T) for group in self.groups])
        return np.einsum("nij,nj->ni", matrices[self.optics], shifts)


def read_particles(path: str | os.PathLike[str], need_ctf: bool = True) -> ParticleSet:
    """Read and check a particle STAR file, also one of RELION 3.0 and older.

    Images of several boxes or pixel sizes are resampled to those of most particles.

    Raises
    ------
    CryosnakeError
        when the file cannot be read, is empty, lacks a column, or has a field that is no sensible number
    """
    path = os.fspath(path)
    tables = with_optics(path, read_star(path))
    for name in ("particles", "optics"):
        if name not in tables:
            raise CryosnakeError(f"{path} has no block data_{name}. Give a STAR file that lists particles "
                                 "(rlnImageName), as Extract or RELION writes it.")
    if len(tables["particles"]) == 0:
        raise CryosnakeError(f"{path}: data_particles has no rows; nothing is left to refine. Check the previous job.")
    _require(path, "particles", tables, ("rlnImageName", "rlnOpticsGroup", *(_CTF_COLUMNS if need_ctf else ())))
    _require(path, "optics", tables, (*_OPTICS_COLUMNS, *(_CTF_OPTICS if need_ctf else ())))
    optics = tables["optics"] = tables["optics"].reset_index(drop=True)
    index = _optics_index(path, tables)
    used = checked(path, "optics", optics.iloc[np.unique(index)], [*_OPTICS_COLUMNS, *FLAGS,
                                                                   *(_CTF_OPTICS if need_ctf else ())])
    tables["particles"] = check_values(path, tables["particles"], used, need_ctf)
    odd = [box for box in used["rlnImageSize"].astype(int) if box % 2]
    if odd:
        raise CryosnakeError(f"{path}: rlnImageSize is {odd[0]}; the box must be even. Extract with an even box_size.")
    groups = optics_groups(path, optics, need_ctf)
    (box, pixel_size), _ = _sizes(groups, index).most_common(1)[0]
    group, names = _groups(tables["particles"])
    return ParticleSet(path=path, tables={name: tables[name] for name in ("optics", "particles")}, box=box,
                       pixel_size=pixel_size, optics=index, group=group, group_names=names,
                       groups=groups)


def _sizes(groups: Sequence[OpticsGroup], index: np.ndarray) -> Counter[tuple[int, float]]:
    """Return how many particles, of which `index` (n,) is the group, have images of each box and pixel size, Å."""
    found: Counter[tuple[int, float]] = Counter()
    for group, count in zip(groups, np.bincount(index, minlength=len(groups)).tolist(), strict=True):
        if count:
            found[group.box, round(group.pixel_size, 4)] += count
    return found


def _require(path: str, block: str, tables: Mapping[str, pd.DataFrame], labels: tuple[str, ...]) -> None:
    missing = [label for label in labels if label not in tables[block].columns]
    if missing:
        raise CryosnakeError(f"{path}: data_{block} lacks {', '.join(missing)}. Use the STAR file of Extract or a "
                             "later job; CTF values come from CtfFind (or set ctf: false).")


def _optics_index(path: str, tables: Mapping[str, pd.DataFrame]) -> np.ndarray:
    optics, particles = (checked(path, block, tables[block], ["rlnOpticsGroup"]) for block in ("optics", "particles"))
    order = {int(number): i for i, number in enumerate(optics["rlnOpticsGroup"])}
    numbers = particles["rlnOpticsGroup"]
    unknown = sorted(set(numbers) - set(order))
    if unknown:
        raise CryosnakeError(f"{path}: rlnOpticsGroup {unknown[0]} of data_particles is not in data_optics. "
                             "Join STAR files with relion_star_handler, not by hand.")
    return numbers.map(order).to_numpy(np.int64)


def _groups(table: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    label = next((name for name in ("rlnGroupName", "rlnMicrographName") if name in table.columns), None)
    if label is None:
        return np.zeros(len(table), np.int64), ["group_1"]
    names, inverse = np.unique(table[label].to_numpy(str), return_inverse=True)
    return inverse.astype(np.int64), [str(name) for name in names]


def require_diameter(particles: ParticleSet, diameter: float) -> None:
    """Raise CryosnakeError unless a particle's diameter, Å, is smaller than the box."""
    sizes = ((group.box, group.pixel_size) for group in particles.used_groups)
    box, pixel = min(sizes, key=lambda size: size[0] * size[1])
    if not 0 < diameter < box * pixel:
        raise CryosnakeError(f"particle_diameter is {diameter:g} Å; it must be smaller than the box of "
                             f"{particles.path}, {box} × {pixel:g} = {box * pixel:g} Å.")


def require_members(particles: ParticleSet, classes: int) -> None:
    """Raise CryosnakeError when there are more classes than particles."""
    if classes > len(particles):
        raise CryosnakeError(f"classes is {classes}, but {particles.path} has {len(particles)} particle(s); set "
                             "fewer classes.")


def half_sets(particles: ParticleSet, rng: np.random.Generator) -> np.ndarray:
    """Return the half set, 1 or 2, of each particle: rlnRandomSubset where it is set, else at random, equally many.

    A particle at the place of an earlier one is in the same half set as that.

    Raises
    ------
    CryosnakeError
        when some particles have a half set and others do not, or one half would be empty
    """
    first = particles.first_at_place()
    given = particles.column("rlnRandomSubset").astype(np.int64)
    if not given.any():
        if len(np.unique(first)) < 2:
            raise CryosnakeError(f"{particles.path} has one particle; gold-standard refinement needs at least one in "
                                 "each half set.")
        return _apart(1 + rng.permutation(len(particles)) % 2, first)
    if not np.isin(given, (1, 2)).all() or len(np.unique(given[first])) < 2:
        raise CryosnakeError(f"{particles.path}: rlnRandomSubset must be 1 or 2 for every particle, and contain both. "
                             "Remove the column to have the halves chosen at random.")
    return given[first]


def _apart(half: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return half sets that share no place, each with one of the particles at least."""
    half = half[first]
    if len(np.unique(half)) < 2:
        half[first == first[-1]] = 3 - half[-1]
    return half
