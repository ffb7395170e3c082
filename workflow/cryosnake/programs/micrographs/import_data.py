"""Import: the rows and the optics table of the movies (or micrographs) that have arrived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryosnake.errors import CryosnakeError
from cryosnake.io.completeness import check_movie_complete
from cryosnake.jobs.options import ImportOptions


def table(options: ImportOptions) -> str:
    """Return the block of the output STAR."""
    return "movies" if options.movies else "micrographs"


def rows(options: ImportOptions, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return one row per file, with RELION's columns of movies.star or micrographs.star."""
    label = "rlnMicrographMovieName" if options.movies else "rlnMicrographName"
    return {name: {label: name, "rlnOpticsGroup": 1} for name in names}


def optics(options: ImportOptions) -> dict[int, dict[str, Any]]:
    """Return the one optics group of an import.

    Raises
    ------
    CryosnakeError
        when the MTF file does not exist
    """
    if options.mtf and not Path(options.mtf).is_file():
        raise CryosnakeError(f"{options.mtf}: the MTF file (microscope: {{mtf: …}}) does not exist; the path is "
                             "relative to the project")
    group: dict[str, Any] = {"rlnOpticsGroupName": options.optics_group, "rlnOpticsGroup": 1}
    if options.mtf:
        group["rlnMtfFileName"] = options.mtf
    if not options.movies:
        group["rlnMicrographPixelSize"] = options.pixel_size
    return {1: {**group, "rlnMicrographOriginalPixelSize": options.pixel_size, "rlnVoltage": options.voltage,
                "rlnSphericalAberration": options.spherical_aberration,
                "rlnAmplitudeContrast": options.amplitude_contrast}}


def prepare(options: ImportOptions, optics: Mapping[str, Any], inputs: Mapping[str, Path]) -> None:
    """Import needs no settings."""


def process(row: dict[str, Any], optics: Mapping[str, Any], state: None, root: Path) -> dict[str, Any]:
    """Return the row of a file after a last check of it.

    Raises
    ------
    CryosnakeError
        when the file vanished or was truncated since planning
    """
    name = row.get("rlnMicrographMovieName") or row["rlnMicrographName"]
    problem = check_movie_complete(name) if Path(name).exists() else "no longer exists"
    if problem:
        raise CryosnakeError(f"{name}: {problem}; copy it again, then `cryosnake retry` the import")
    return row
