"""The invented protein and its density, against closed forms."""

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import scipy.fft
from scipy.spatial import cKDTree

from cryosnake.errors import CryosnakeError
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.fsc import fsc, shell_index, shell_sum
from cryosnake.numerics.projection import central_slices, half_plane, padded_transform
from cryosnake.numerics.symmetry import operators
from cryosnake.simulation import atoms as model
from cryosnake.simulation.density import SHAPE_B_FACTOR, density_from_atoms, project_atoms
from cryosnake.simulation.protein import pseudo_protein

BOX, PIXEL = 48, 4.5


@pytest.fixture(scope="module")
def protein() -> model.Atoms:
    return pseudo_protein("D2", 300, seed=3)


def exact_transform(atoms: model.Atoms, k: np.ndarray, b_factor: float, solvent: float) -> np.ndarray:
    """The sum over atoms at frequencies k (n, 3) in Å⁻¹."""
    squared = (k**2).sum(1)
    phases = np.exp(-2j * np.pi * (k @ atoms.positions.T))
    ice = solvent * model.ICE_DENSITY * model.WATER_STRENGTH / model.WATER_VOLUME
    strength = phases @ atoms.strengths * np.exp(-0.25 * SHAPE_B_FACTOR * squared)
    volume = phases @ atoms.volumes * np.exp(-np.pi * atoms.volumes.max() ** (2 / 3) * squared)
    return (strength - ice * volume) * np.exp(-0.25 * b_factor * squared)


def test_single_domain_is_as_compact_as_a_globular_protein() -> None:
    # Radius of gyration 2.2 N^0.38 Å of globular proteins (Skolnick, Kolinski & Ortiz 1997); a walk packs less
    # tightly than a fold, hence 25 %.
    for seed in (1, 2, 3):
        atoms = pseudo_protein("C1", 200, seed)
        centred = atoms.positions - atoms.positions.mean(0)
        radius = np.sqrt((centred**2).sum(1).mean())
        assert radius == pytest.approx(2.2 * 200**0.38, rel=0.25)
        assert 7.0 < len(centred) / 200 < 9.5


def test_protein_has_bonds_and_no_collisions(protein: model.Atoms) -> None:
    unit = len(protein.positions) // 4
    trace = protein.positions[:300]
    assert np.linalg.norm(np.diff(trace, axis=0), axis=1) == pytest.approx(3.8, abs=0.15)
    others = np.delete(protein.positions.reshape(4, unit, 3)[:, :300], 0, axis=0).reshape(-1, 3)
    assert cKDTree(others).query(trace)[0].min() > 4.0  # CA atoms of different subunits
    nearest = cKDTree(protein.positions).query(protein.positions, k=2)[0][:, 1]
    assert 1.0 < np.median(nearest) < 1.6


@pytest.mark.parametrize(("symmetry", "residues"), [("C3", 250), ("D2", 250), ("O", 60)])
def test_atoms_have_the_symmetry_asked_for(symmetry: str, residues: int) -> None:
    positions = pseudo_protein(symmetry, residues, seed=2).positions
    tree = cKDTree(positions)
    for operator in operators(symmetry):
        assert tree.query(positions @ operator.T)[0].max() < 1e-6


def test_same_seed_same_protein() -> None:
    first, again, other = (pseudo_protein("C2", 80, seed).positions for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.allclose(first, other)


def test_density_is_the_exact_sum_over_atoms(protein: model.Atoms) -> None:
    density = density_from_atoms(protein, BOX, PIXEL, b_factor=60.0)
    transform = scipy.fft.fftn(scipy.fft.ifftshift(density.astype(np.float64))) * PIXEL**3
    rng = np.random.default_rng(1)
    pixels = rng.integers(-13, 14, (200, 3))  # z, y, x; inside the sphere of Nyquist, 24
    expected = exact_transform(protein, pixels[:, ::-1] / (BOX * PIXEL), 60.0, 1.0)
    found = transform[tuple(pixels.T)]
    assert np.abs(found - expected).max() < 2e-3 * np.abs(expected).std()


def test_integral_is_the_scattering_less_the_displaced_ice(protein: model.Atoms) -> None:
    ice = model.ICE_DENSITY * model.WATER_STRENGTH / model.WATER_VOLUME
    contrast = protein.strengths.sum() - ice * protein.volumes.sum()
    assert density_from_atoms(protein, BOX, PIXEL).sum() * PIXEL**3 == pytest.approx(contrast, rel=1e-3)
    vacuum = density_from_atoms(protein, BOX, PIXEL, solvent=0.0)
    assert vacuum.sum() * PIXEL**3 == pytest.approx(protein.strengths.sum(), rel=1e-3)
    assert 0.3 < contrast / protein.strengths.sum() < 0.6  # protein in ice shows about half its density


def test_density_has_two_fold_axes(protein: model.Atoms) -> None:
    density = density_from_atoms(protein, BOX, PIXEL)

    def turned(axes: tuple[int, int]) -> np.ndarray:  # half a turn about the voxel BOX // 2
        return np.roll(np.flip(density, axes), 1, axes)

    for axes in ((1, 2), (0, 1), (0, 2)):
        assert np.abs(turned(axes) - density).max() < 1e-3 * density.max()
    assert np.abs(np.roll(density[:, :, ::-1], 1, 2) - density).std() > 0.5 * density.std()  # no mirror


def test_pixel_sizes_agree_on_shared_shells(protein: model.Atoms) -> None:
    fine, coarse = density_from_atoms(protein, 96, PIXEL / 2), density_from_atoms(protein, 48, PIXEL)
    index = np.fft.fftfreq(48, 1 / 48).astype(int)
    cropped = scipy.fft.rfftn(scipy.fft.ifftshift(fine))[np.ix_(index, index, np.arange(25))] / 8
    shrunk = scipy.fft.fftshift(scipy.fft.irfftn(cropped, s=(48,) * 3))
    assert fsc(shrunk.astype(np.float64), coarse)[:24].min() > 0.99999


def test_projection_is_the_exact_sum_and_the_central_slice(protein: model.Atoms) -> None:
    rng = np.random.default_rng(7)
    matrices = euler_to_matrix(*rng.uniform(0, 180, (3, 6)))
    shifts = rng.uniform(-3, 3, (6, 2))
    transforms = project_atoms(protein, matrices, BOX, PIXEL, b_factor=60.0, shifts=shifts) * PIXEL**2
    kx, ky = half_plane(BOX - 4, 0.5)
    found = transforms[:, ky.astype(int), kx.astype(int)]
    plane = np.stack([kx, ky], 1)
    for matrix, shift, values in zip(matrices, shifts, found, strict=True):
        exact = exact_transform(protein, plane @ matrix[:2] / (BOX * PIXEL), 60.0, 1.0)
        exact = exact * np.exp(-2j * np.pi * (plane @ shift) / BOX)
        assert np.abs(values - exact).max() < 5e-3 * np.abs(exact).std()
    centred = project_atoms(protein, matrices, BOX, PIXEL, b_factor=60.0)[:, ky.astype(int), kx.astype(int)]
    volume = density_from_atoms(protein, BOX, PIXEL, b_factor=60.0)
    real, imaginary = central_slices(padded_transform(volume), matrices.astype(np.float32), kx, ky)
    slices = (real + 1j * imaginary) * PIXEL
    overlap = np.abs(np.vdot(slices, centred)) / np.sqrt(np.vdot(slices, slices) * np.vdot(centred, centred)).real
    assert overlap > 0.999  # what is missing is the slices' trilinear interpolation


PDB = """\
ATOM      1  N   MET A   1      11.000   2.000   3.000  1.00 20.00           N
ATOM      2  CA AMET A   1      12.000   2.500   3.000  0.50 20.00           C
ATOM      3  CA BMET A   1      12.100   2.600   3.000  0.50 20.00           C
HETATM    4  O   HOH A 201      50.000  50.000  50.000  1.00 20.00           O
ATOM      5  SD  MET A   1      13.000   3.000   6.000  1.00 20.00
ENDMDL
ATOM      6  N   MET A   1      99.000   2.000   3.000  1.00 20.00           N
"""


def test_pdb_text() -> None:
    atoms = model.atoms_from_pdb_text(PDB)
    assert atoms.positions == pytest.approx(np.array([[-1, -0.5, -1], [0, 0, -1], [1, 0.5, 2]]))
    assert atoms.strengths[2] > atoms.strengths[1] > atoms.strengths[0]


@pytest.mark.parametrize(("text", "message"), [
    ("data_1ABC\nATOM_site", "no ATOM record"),
    (PDB.replace("11.000", "eleven"), "line 1"),
    (PDB.replace("           N\n", "           U\n"), "no scattering factor for U"),
])
def test_bad_models_are_refused(text: str, message: str) -> None:
    with pytest.raises(CryosnakeError, match=message):
        model.atoms_from_pdb_text(text)


@pytest.mark.data
def test_real_model_has_the_power_of_the_given_map(real_data: Path) -> None:
    atoms = model.atoms_from_pdb_text((real_data / "models/5a1a.pdb").read_text())
    assert atoms.volumes.sum() / 1.21e3 == pytest.approx(460, rel=0.06)  # kDa of the tetramer, at 1.21 Å³/Da
    given = mrcfile.read(real_data / "models/5a1a_box64_3.54A.mrc")
    ours = density_from_atoms(atoms, 64, 3.54, b_factor=40.0)
    # The given map lies on its symmetry axes and the model does not, so the rotational averages are compared.
    shells = shell_index(64)
    powers = [shell_sum(np.abs(scipy.fft.rfftn(each.astype(np.float64))) ** 2, shells, 24)[3:]
              for each in (ours, given)]
    assert np.corrcoef(np.log(powers))[0, 1] > 0.97
