"""Atoms of a model: electron scattering strength and the volume of solvent that each displaces."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cryosnake.errors import CryosnakeError

WATER_VOLUME = 29.9  # Å³ per molecule at 1 g/cm³
ICE_DENSITY = 0.93  # vitreous ice over water
WATER_STRENGTH = 3.04  # Å, one O and two H
# Forward elastic scattering factors f(0) in Å (Peng, Ren, Dudarev & Whelan 1996, Acta Cryst. A52).
STRENGTH = {"H": 0.53, "C": 2.51, "N": 2.21, "O": 1.98, "S": 5.16, "P": 5.49, "MG": 5.21, "NA": 4.78, "ZN": 6.06}
# Average number of hydrogens on a heavy atom of a protein, for models without hydrogens.
_HYDROGENS = {"C": 1.15, "N": 1.25, "O": 0.15, "S": 0.4}
# Protein volume: 1.21 Å³/Da (0.73 cm³/g), divided among heavy atoms (14.1 Da each with their hydrogens).
_ATOM_VOLUME = 17.1  # Å³


class Atoms(NamedTuple):
    """Positions (n, 3) Å from the particle's centre (x, y, z); strengths f(0) (n,) Å; displaced volumes (n,) Å³."""

    positions: np.ndarray
    strengths: np.ndarray
    volumes: np.ndarray


def make_atoms(positions: np.ndarray, elements: np.ndarray, hydrogens: bool = False) -> Atoms:
    """Return `Atoms` for positions (n, 3) in Å and element symbols (n,).

    Without explicit hydrogens (`hydrogens` false) each heavy atom counts with the average number of them.

    Raises
    ------
    CryosnakeError
        for an element without a tabulated scattering factor
    """
    symbols = np.char.upper(np.asarray(elements, dtype=str))
    kinds, index = np.unique(symbols, return_inverse=True)
    unknown = [str(kind) for kind in kinds if kind not in STRENGTH]
    if unknown:
        raise CryosnakeError(f"atoms: no scattering factor for {', '.join(unknown)}; known elements are "
                             f"{', '.join(STRENGTH)}. Remove these atoms from the model.")
    carried = {} if hydrogens else _HYDROGENS
    strengths = np.array([STRENGTH[kind] + carried.get(str(kind), 0.0) * STRENGTH["H"] for kind in kinds])
    volumes = np.array([0.0 if kind == "H" else _ATOM_VOLUME for kind in kinds])
    return Atoms(np.asarray(positions, np.float64), strengths[index], volumes[index])


def atoms_from_pdb_text(text: str) -> Atoms:
    """Return the atoms of a model in PDB format, centred on their mean; waters are left out.

    Reads the ATOM and HETATM records of the first model, and the first of alternative locations. Columns as in the
    PDB format 3.3 (wwPDB): coordinates 31-54, element 77-78, which may be blank.

    Raises
    ------
    CryosnakeError
        when the text has no atom, or one that cannot be read
    """
    positions, elements = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("ENDMDL"):
            break
        if not line.startswith(("ATOM  ", "HETATM")) or line[17:20] == "HOH" or line[16:17] not in (" ", "A"):
            continue
        try:
            positions.append([float(line[start : start + 8]) for start in (30, 38, 46)])
        except ValueError as error:
            raise CryosnakeError(f"PDB model, line {number}: no coordinates in columns 31-54; is it mmCIF?") from error
        elements.append(line[76:78].strip() or line[12:14].strip(" 0123456789"))
    if not positions:
        raise CryosnakeError("PDB model: it has no ATOM record; use a file in PDB format (not mmCIF).")
    centred = np.array(positions) - np.mean(positions, axis=0)
    return make_atoms(centred, np.array(elements), hydrogens="H" in elements)


def symmetrise(atoms: Atoms, operators: np.ndarray) -> Atoms:
    """Return the atoms together with their symmetry mates; `operators` is (g, 3, 3)."""
    mates = np.einsum("gij,nj->gni", operators, atoms.positions).reshape(-1, 3)
    copies = len(operators)
    return Atoms(mates, np.tile(atoms.strengths, copies), np.tile(atoms.volumes, copies))


def diameter(atoms: Atoms) -> float:
    """Return the diameter in Å of the sphere around the origin that contains all atoms."""
    return float(2.0 * np.sqrt((atoms.positions**2).sum(1).max()))
