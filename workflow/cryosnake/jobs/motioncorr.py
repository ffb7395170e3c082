"""MotionCorr: whole-frame and local beam-induced motion, gain, defects, dose weighting."""

from cryosnake.jobs.kinds.files import DEFECTS, GAIN
from cryosnake.jobs.kinds.values import quarter_turns
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

_ROTATIONS = {0: "No rotation (0)", 90: "90 degrees (1)", 180: "180 degrees (2)", 270: "270 degrees (3)"}
_ROTATIONS |= {1: _ROTATIONS[90], 2: _ROTATIONS[180], 3: _ROTATIONS[270]}
_FLIPS = {0: "No flipping (0)", 1: "Flip upside down (1)", 2: "Flip left to right (2)"}

JOB = JobType(
    name="motioncorr",
    folder="MotionCorr",
    relion3=1,
    label="relion.motioncorr.own",
    title="Motion correction",
    topic="micrographs",
    description="Aligns the frames of each movie, as a whole and by patches, and sums them with and without dose "
    "weighting.",
    inputs=(Slot("movies", (MOVIES,), "Movies to align.", relion="input_star_mics"),),
    outputs=(Output("micrographs", "corrected_micrographs.star", MICROGRAPHS, label="motioncorr"),),
    parameters=(
        Parameter("dose_per_frame", float, None, "Electron dose of one frame (for EER, of one group of frames).",
                  unit="e/Å²", minimum=0.0, required=True, microscope="dose_per_frame", relion="dose_per_frame"),
        Parameter("pre_exposure", float, 0.0, "Electron dose before the first frame; rlnMicrographPreExposure of the "
                  "movie is added to it.", unit="e/Å²", minimum=0.0, microscope="pre_exposure", relion="pre_exposure"),
        Parameter("patches", list[int], [5, 5], "Number of patches along x and y; [1, 1] aligns whole frames only. "
                  "Small movies get fewer: a patch has at least 96 pixels, and the local model needs 3 by 3.",
                  length=2, minimum=1, relion="patch_x,patch_y"),
        Parameter("group_frames", int, 1, "Frames to add up before patches are aligned; use more for a low dose per "
                  "frame.", minimum=1, relion="group_frames"),
        Parameter("bfactor", float, 150.0, "B-factor of the alignment; larger for super-resolution movies.",
                  unit="px²", minimum=0.0, relion="bfactor"),
        Parameter("bin_factor", float, 1.0, "Binning of the sums by Fourier crop; 2 for super-resolution movies.",
                  minimum=1.0, maximum=16.0, relion="bin_factor"),
        Parameter("gain", str, None, "Gain reference (MRC, TIFF or .gain), by which frames are multiplied.",
                  microscope="gain", relion="fn_gain_ref", file=GAIN),
        Parameter("gain_rotation", int, 0, "Clockwise rotation of the gain reference as RELION displays it: 0, 90, "
                  "180 or 270 degrees (or RELION's 1, 2, 3).", unit="degrees", minimum=0, maximum=270,
                  microscope="gain_rotation", relion="gain_rot", relion_values=_ROTATIONS, check=quarter_turns),
        Parameter("gain_flip", int, 0, "Flip of the gain reference after its rotation: 0 none, 1 upside down, 2 left "
                  "to right.", minimum=0, maximum=2, microscope="gain_flip", relion="gain_flip", relion_values=_FLIPS),
        Parameter("defects", str, None, "Defects of the camera: text (x y width height), SerialEM's list, or a map.",
                  microscope="defects", relion="fn_defect", file=DEFECTS),
        Parameter("first_frame", int, 1, "First frame to use, counted from 1.", minimum=1, relion="first_frame_sum",
                  at_most="last_frame"),
        Parameter("last_frame", int, -1, "Last frame to use; -1 for the last of the movie.", minimum=-1,
                  relion="last_frame_sum"),
        Parameter("dose_weighting", bool, True, "Weight frames by their dose.", relion="do_dose_weighting"),
        Parameter("save_unweighted", bool, False, "Write the sum without dose weighting too (_noDW.mrc).",
                  relion="do_save_noDW"),
        Parameter("power_spectrum", bool, True, "Write the power spectrum for CTF estimation (_PS.mrc).",
                  relion="do_save_ps"),
        Parameter("power_spectrum_dose", float, None, "Dose of the groups of frames whose spectra are added. Not set: "
                  "4, 8, 16, … or all of it, whichever gives each movie the clearest rings.",
                  unit="e/Å²", minimum=0.01, relion="group_for_ps", advanced=True),
        Parameter("float16", bool, False, "Write sums in half precision (MRC mode 12), half the size; RELION 3.1 does "
                  "not read them.", relion="do_float16"),
        Parameter("eer_grouping", int, 40, "EER only: detector frames summed to one frame.", minimum=1,
                  relion="eer_grouping"),
        Parameter("eer_upsampling", int, 1, "EER only: 1 for the detector's pixels (4K), 2 for half pixels (8K). "
                  "pixel_size of the import is that of these pixels: half the detector's for 2, a quarter for 3.",
                  minimum=1, maximum=3, advanced=True),
        Parameter("max_shift", float, 50.0, "Largest shift searched between a frame and the sum.", unit="px",
                  minimum=1.0, advanced=True),
        Parameter("expected_local_motion", float, 2.0, "Typical local motion; a larger value lets the local model "
                  "follow noisier patches.", unit="Å", minimum=0.01, advanced=True),
        MAX_FAILED,
        DEVICE,
    ),
    program="cryosnake.programs.micrographs.motioncorr",
    per_micrograph=True,
    products=("{root}.mrc", "{root}.star"),
    relion_options={"do_own_motioncor": "Yes"},
    resources=Resources(threads=2, most_threads=8, mem_mb=8000, runtime=120, gpu=True),
    clean=CleanUp(gentle=("*/*.log",), harsh=("*/",), data=("**/*.mrc",)),
    panels=("accumulated_motion",),
    references=(
        "Zheng et al., Nature Methods 14, 331 (2017): patches",
        "Zivanov, Nakane & Scheres, IUCrJ 6, 5 (2019): the local model",
        "Grant & Grigorieff, eLife 4, e06980 (2015): dose weighting",
    ),
)
