"""MotionCorr: whole-frame and local beam-induced motion, gain, defects, dose weighting."""

from cryosnake.jobs.model import (
    DEVICE,
    MAX_FAILED,
    MICROGRAPHS,
    MOVIES,
    CleanUp,
    JobType,
    Output,
    Parameter,
    Resources,
    Slot,
)

JOB = JobType(
    name="motioncorr",
    folder="MotionCorr",
    relion3=1,
    label="relion.motioncorr.own",
    title="Motion correction",
    description="Aligns the frames of each movie, whole and by patches, and sums them with and without dose weighting.",
    inputs=(Slot("movies", (MOVIES,), "Movies to align.", relion="input_star_mics"),),
    outputs=(Output("micrographs", "corrected_micrographs.star", MICROGRAPHS, label="motioncorr"),),
    parameters=(
        Parameter("dose_per_frame", float, None, "Electron dose of one frame.", unit="e/Å²", minimum=0.0,
                  required=True, microscope="dose_per_frame", relion="dose_per_frame"),
        Parameter("patches", list[int], [5, 5], "Number of patches along x and y; [1, 1] aligns whole frames only.",
                  length=2, minimum=1),
        MAX_FAILED,
        DEVICE,
    ),
    program="cryosnake.programs.motioncorr:MotionCorr",
    per_micrograph=True,
    products=("{root}.mrc", "{root}.star"),
    resources=Resources(threads=2, mem_mb=6000, runtime=120, gpu=True),
    clean=CleanUp(gentle=("*/*.log",), harsh=("*/",)),
    panels=("accumulated_motion",),
)
