"""examples/to_full_resolution.yaml in small: from movies to the Nyquist frequency of the unbinned particles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from cryosnake.io.mrc import read_mrc
from cryosnake.io.star import read_star
from cryosnake.numerics.alignment import align_maps, mirror, model_map_fsc, transform_map
from cryosnake.numerics.map_resample import refit_map
from cryosnake.programs.simulate.project import simulate_project
from small_project import ROOT, snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

BOX, PIXEL = 64, 3.54
FINE, MASK_FILE = "Refine3D/fine/run_class001.mrc", "MaskCreate/mask/mask.mrc"
SMALL = {
    "motion": {"patches": [1, 1]},
    "ctf": {"box": 256, "max_resolution": 30, "min_figure_of_merit": -1},
    "binned": {"box_size": BOX, "rescale": BOX // 2},
    "classes": {"classes": 3, "iterations": 4, "psi_step": 15},
    "good": {"minimum_score": 0.3},
    "initial": {"starts": 1, "iterations": 40},
    "unbinned": {"box_size": BOX},
    "fine": {"initial_lowpass": 20},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("full")
    simulate_project(folder, movies=4, size=(512, 512), frames=4, pixel_size=PIXEL, particles_per_movie=60,
                     dose_per_frame=12.0, box=BOX, box_pixel_size=PIXEL, b_factor=20.0, contaminated=0.0, seed=7)
    config = yaml.safe_load((ROOT / "examples/to_full_resolution.yaml").read_text())
    config["microscope"] |= {"pixel_size": PIXEL, "dose_per_frame": 12.0}
    for name, changed in SMALL.items():
        config["jobs"][name] |= changed
    config["jobs"]["flipped"] = {"type": "maptool", "map": "fine.map", "half_maps": "fine.half_maps", "mask": "mask",
                                 "flip_hand": True}
    config["jobs"]["turned"] = {"type": "postprocess", "half_maps": "flipped.half_maps", "mask": "flipped.mask"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"pictures": False, "batch_size": 4}))
    snakemake(folder)
    return folder


def test_the_unbinned_map_goes_on_where_the_binned_one_ends(finished) -> None:
    """Both are aligned to the truth by one transform: they have the same place, orientation and hand."""
    truth, _ = read_mrc(finished / "truth/map.mrc")
    mask, fine = (read_mrc(finished / name)[0] for name in (MASK_FILE, FINE))
    coarse, pixel = read_mrc(finished / "Refine3D/coarse/run_class001.mrc")
    assert pixel == pytest.approx(2 * PIXEL)
    aligned, alignment = align_maps(fine, truth, mirror_test=True, search_radius=8, refine_radius=20)
    moved = transform_map(refit_map(coarse, pixel, BOX, PIXEL), alignment)
    there = transform_map(mask, alignment)
    found, before = (model_map_fsc(volume, truth, PIXEL, there) for volume in (aligned, moved))
    assert before.curve[2:12].min() > 0.8
    assert found.resolution < 2.3 * PIXEL and before.resolution > 3.9 * PIXEL  # Å; they can reach 2 and 4
    said = (finished / "Refine3D/fine/run.out").read_text()
    assert f"the reference, {BOX // 2} voxels of 7.08 Å, is resampled to the {BOX} of 3.54 Å" in said
    assert "local searches" in said


def test_lens_and_motion_make_the_map_no_worse(finished) -> None:
    """Pixels are too large here for more; the gate full_resolution says what the steps gain."""
    truth, _ = read_mrc(finished / "truth/map.mrc")
    mask, fine, last = (read_mrc(finished / name)[0] for name in (MASK_FILE, FINE, "Refine3D/last/run_class001.mrc"))
    aligned, alignment = align_maps(fine, truth, mirror_test=True, search_radius=8, refine_radius=20)
    there = transform_map(mask, alignment)
    before, after = (model_map_fsc(volume, truth, PIXEL, there).curve[1:].mean() for volume in (
        aligned, transform_map(last, alignment)))
    assert after > before - 0.01
    tables = [read_star(finished / name)["particles"] for name in (
        "Refine3D/fine/run_data.star", "CtfRefine/lens/particles_ctf_refine.star", "Polish/shiny/shiny.star")]
    assert len({len(table) for table in tables}) == 1
    assert tables[2]["rlnImageName"][0].startswith("1@Polish/job")


def test_half_sets_stay_and_particles_are_centred(finished) -> None:
    coarse, unbinned, fine = (read_star(finished / name)["particles"] for name in (
        "Refine3D/coarse/run_data.star", "Extract/unbinned/particles.star", "Refine3D/fine/run_data.star"))
    for table in (unbinned, fine):
        for label in ("rlnMicrographName", "rlnRandomSubset"):
            assert (table[label].to_numpy() == coarse[label].to_numpy()).all()
    offsets = unbinned[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy()
    assert np.abs(offsets).max() <= 0.5 * PIXEL + 1e-3 < np.abs(coarse[["rlnOriginXAngst"]].to_numpy()).max()


def test_the_map_of_the_other_hand_is_sharpened_and_measured(finished) -> None:
    assert read_star(finished / "PostProcess/turned/postprocess.star")["general"]["rlnFinalResolution"][0] < 7.8
    fine, flipped = (read_mrc(finished / name)[0] for name in (
        "Refine3D/fine/run_half2_class001_unfil.mrc", "MapTool/flipped/half2_map.mrc"))
    np.testing.assert_array_equal(flipped, mirror(fine))
    local, _ = read_mrc(finished / "LocalRes/local/relion_locres.mrc")
    mask, _ = read_mrc(finished / MASK_FILE)
    assert np.median(local[mask > 0.5]) < 9.0
