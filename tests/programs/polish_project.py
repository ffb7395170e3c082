"""A project of two simulated movies whose motion is known, for the tests of polishing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.options import PolishOptions, PostProcessOptions
from cryosnake.numerics.refine.grids.images import soft_disc
from cryosnake.programs.maps import postprocess
from cryosnake.programs.polish import polish
from cryosnake.programs.polish.motion_metadata import read_motion
from cryosnake.programs.simulate.project import simulate_project

BOX, PIXEL, FRAMES, DOSE = 96, 1.77, 10, 4.0
STEMS = ("movie_0001", "movie_0002")


def nothing(*_: object) -> None:
    pass


def make_project() -> None:
    """Write it into the working directory: only the motion of whole frames is recorded; half maps near the truth."""
    simulate_project(".", movies=2, size=(640, 640), frames=FRAMES, pixel_size=PIXEL, dose_per_frame=DOSE,
                     particles_per_movie=14, residues=960, box=BOX, box_pixel_size=PIXEL, contaminated=0.0,
                     local_motion=8.0, ice_spread=0.0)
    density, rng = read_mrc("truth/map.mrc")[0], np.random.default_rng(3)
    for half in (1, 2):
        noisy = density + rng.normal(0.0, 0.3 * density.std(), density.shape)
        write_mrc(f"run_half{half}_class001_unfil.mrc", noisy.astype(np.float32), PIXEL)
    write_mrc("mask.mrc", soft_disc(BOX, 38.0, 5.0, dimensions=3), PIXEL)
    postprocess.run(PostProcessOptions(auto_b_factor=False), {
        "half_maps": "run_half1_class001_unfil.mrc", "mask": "mask.mrc"}, ".", nothing)
    write_inputs()


def write_inputs() -> None:
    truth = read_star("truth/particles.star")
    table, stems = truth["particles"], STEMS
    count = len(table)
    table = table.assign(rlnImageName=[f"{n + 1:06d}@Extract/job005/particles.mrcs" for n in range(count)],
                         rlnRandomSubset=1 + np.arange(count) % 2)
    table["rlnMicrographName"] = [f"MotionCorr/job002/{name}" for name in table["rlnMicrographName"]]
    write_star("particles.star", {"optics": truth["optics"].assign(rlnImagePixelSize=PIXEL, rlnImageSize=BOX,
                                                                   rlnImageDimensionality=2), "particles": table})
    Path("MotionCorr/job002/Movies").mkdir(parents=True)
    for stem in stems:
        tables = read_star(f"truth/motion/{stem}.star")
        general = {**tables["general"].iloc[0].to_dict(), "rlnMotionModelVersion": 0}
        write_star(f"MotionCorr/job002/Movies/{stem}.star", {"general": general,
                                                             "global_shift": tables["global_shift"]})
    write_star("corrected_micrographs.star", {"optics": truth["optics"], "micrographs": pd.DataFrame({
        "rlnMicrographName": [f"MotionCorr/job002/Movies/{stem}.mrc" for stem in stems], "rlnOpticsGroup": 1,
        "rlnMicrographMetadata": [f"MotionCorr/job002/Movies/{stem}.star" for stem in stems]})})


def run(job: str, particles: str = "particles.star", **options: Any) -> dict[str, pd.DataFrame]:
    Path(job).mkdir(parents=True, exist_ok=True)
    polish.run(PolishOptions(**options), {"particles": particles, "postprocess": "postprocess.star",
                                          "micrographs": "corrected_micrographs.star"}, job, nothing)
    return read_star(f"{job}/shiny.star")


def true_tracks(stem: str, places: np.ndarray) -> np.ndarray:
    return read_motion(f"truth/motion/{stem}.star").displacements(np.arange(1, FRAMES + 1), places) * PIXEL


def tracks_of(path: Path) -> np.ndarray:
    tables = read_star(path)
    count = int(tables["general"]["rlnParticleNumber"].iloc[0])
    return np.stack([tables[str(number)][["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy() for number in range(count)])


def coordinates(stem: str = "movie_0001") -> np.ndarray:
    table = read_star("particles.star")["particles"]
    mine = [stem in name for name in table["rlnMicrographName"]]
    return table.loc[mine, ["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(float)
