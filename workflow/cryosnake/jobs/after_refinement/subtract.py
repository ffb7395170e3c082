"""Subtract: particle images without the signal outside a mask."""

from cryosnake.jobs.kinds.running_options import SHARED_OUT
from cryosnake.jobs.model import (
    DEVICE,
    MASK,
    OPTIMISER,
    PARTICLES,
    JobType,
    Output,
    Parameter,
    Resources,
    Slot,
)

JOB = JobType(
    name="subtract",
    folder="Subtract",
    relion3=14,
    label="relion.subtract",
    sublabels=(("revert", "revert"),),
    title="Subtract",
    topic="refinement",
    description="Takes what lies outside a mask out of particle images: projections of the maps outside it, at each "
    "particle's pose, with its CTF, aberrations, magnification and grey scale. Each particle is predicted from the map "
    "of its own half set. Given `revert` alone, it goes back to the original images, and keeps what later jobs found.",
    inputs=(
        Slot("optimiser", (OPTIMISER,), "Optimiser of the Refine3D or Class3D job whose maps are subtracted.",
             required=False, images=False, relion="fn_opt"),
        Slot("mask", (MASK,), "Soft mask of what is kept.", required=False, relion="fn_mask"),
        Slot("particles", (PARTICLES,), "Particles with poses. Not given: those of the optimiser.", required=False,
             relion="fn_data", relion_switch="do_data"),
        Slot("revert", (PARTICLES,), "Subtracted particles that are to have their original images again.",
             required=False, images=False, relion="fn_fliplabel", relion_switch="do_fliplabel"),
    ),
    outputs=(
        Output("particles", "particles_subtracted.star", PARTICLES, when="mask"),
        Output("original", "original.star", PARTICLES, when="revert"),
    ),
    parameters=(
        Parameter("recentre_on_mask", bool, False, "Centre the images on the mask's centre of mass.",
                  relion="do_center_mask"),
        Parameter("centre", list[float], None, "Centre the images on this point of the map instead: x, y, z from the "
                  "centre of its box.", unit="voxels", length=3, relion="center_x,center_y,center_z",
                  relion_switch="do_center_xyz"),
        Parameter("new_box", int, None, "Cut the images to this box.", unit="px", minimum=8, relion="new_box"),
        DEVICE,
        *SHARED_OUT,
    ),
    program="cryosnake.programs.subtract.subtract",
    relion_options={"new_box": "-1", "center_x": "0", "center_y": "0", "center_z": "0"},
    resources=Resources(threads=2, most_threads=16, mem_mb=8000, runtime=120, gpu=True, voxel_bytes=150),
    references=("Bai et al. 2015, eLife 4, e11182", "Nakane et al. 2018, eLife 7, e36861"),
)
