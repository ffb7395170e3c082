"""Polish through Snakemake: from movies to a refinement of the shiny particles; killed, and with movies that arrive."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.mrc_header import read_header
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.options import PostProcessOptions
from cryosnake.numerics.refine.grids.images import soft_disc
from cryosnake.programs.maps import postprocess
from cryosnake.programs.simulate.project import simulate_project
from small_project import command, snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

BOX, PIXEL = 64, 2.5
CONFIG = """
title: polishing
microscope: {voltage: 300, spherical_aberration: 2.7, amplitude_contrast: 0.1, pixel_size: 2.5, dose_per_frame: 5.0,
             gain: gain.mrc}
jobs:
  movies: {type: import, movies: "Movies/*.tiff", settling_time: 0}
  motion: {type: motioncorr, movies: movies, patches: [1, 1]}
  shiny:  {type: polish, micrographs: motion, particles: particles.star, postprocess: post/postprocess.star}
  again:  {type: refine3d, particles: shiny, reference: truth/map.mrc, initial_lowpass: 20, particle_diameter: 130,
           max_iterations: 1}
"""


def particles_of(movies: int) -> None:
    """Write particles.star of the first movies, with their true poses."""
    truth = read_star("truth/particles.star")
    table = truth["particles"]
    table = table[[int(name[-8:-4]) <= movies for name in table["rlnMicrographName"]]]
    count = len(table)
    table = table.assign(rlnImageName=[f"{n + 1}@Extract/job005/particles.mrcs" for n in range(count)],
                         rlnRandomSubset=1 + np.arange(count) % 2,
                         rlnMicrographName="MotionCorr/job002/" + table["rlnMicrographName"])
    optics = truth["optics"].assign(rlnImagePixelSize=PIXEL, rlnImageSize=BOX, rlnImageDimensionality=2)
    write_star("particles.star", {"optics": optics, "particles": table})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four movies, of which the fourth has not arrived."""
    folder = tmp_path_factory.mktemp("polish")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        simulate_project(".", movies=4, size=(448, 448), frames=6, pixel_size=PIXEL, dose_per_frame=5.0,
                         particles_per_movie=8, residues=500, box=BOX, box_pixel_size=PIXEL, contaminated=0.0)
        shutil.move("Movies/movie_0004.tiff", "later.tiff")
        density, rng = read_mrc("truth/map.mrc")[0], np.random.default_rng(3)
        Path("post").mkdir()
        for half in (1, 2):
            noisy = density + rng.normal(0.0, 0.3 * density.std(), density.shape)
            write_mrc(f"post/run_half{half}_class001_unfil.mrc", noisy.astype(np.float32), PIXEL)
        write_mrc("post/mask.mrc", soft_disc(BOX, 26.0, 4.0, dimensions=3), PIXEL)
        postprocess.run(PostProcessOptions(auto_b_factor=False), {
            "half_maps": "post/run_half1_class001_unfil.mrc", "mask": "post/mask.mrc"}, "post", lambda *_: None)
        particles_of(3)
        Path("config.yaml").write_text(CONFIG)
    return folder


def test_killed_continued_and_grown(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    first = Path("Polish/job003/Movies/movie_0001_motion.npz")
    killed = subprocess.Popen(command(project), start_new_session=True, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 500
        while not first.exists():
            assert time.monotonic() < until and killed.poll() is None
            time.sleep(0.01)
    finally:
        os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not Path("Polish/job003/shiny.star").exists()
    before = first.stat().st_mtime_ns
    snakemake(project)
    assert first.stat().st_mtime_ns == before
    assert "taken as found before" in Path("Polish/job003/run.out").read_text()
    shiny = read_star("Polish/job003/shiny.star")["particles"]
    assert len(shiny) == len(read_star("Refine3D/job004/run_data.star")["particles"])
    assert read_header(shiny["rlnImageName"].iloc[-1].partition("@")[2]).nz == 8

    shutil.move("later.tiff", "Movies/movie_0004.tiff")
    particles_of(4)
    snakemake(project)
    newest = max(Path("Polish").glob("job*"))
    assert newest.name != "job003" and Path("Polish/job003/shiny.star").exists()
    assert "motion of 1 movie(s) found, of 3 taken as found before" in (newest / "run.out").read_text()
    assert len(read_star(newest / "shiny.star")["particles"]) == len(read_star("particles.star")["particles"])
