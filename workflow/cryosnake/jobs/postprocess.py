"""PostProcess: masked FSC with phase randomisation, and the sharpened map."""

from cryosnake.jobs.kinds.files import MTF
from cryosnake.jobs.model import (
    FINAL_MAP,
    HALF_MAP,
    MASK,
    POSTPROCESS,
    JobType,
    Output,
    Parameter,
    Resources,
    Slot,
)

JOB = JobType(
    name="postprocess",
    folder="PostProcess",
    relion3=15,
    label="relion.postprocess",
    title="Post-processing",
    topic="maps",
    description="Measures the resolution of two half maps inside a mask, corrected for the effect of the mask itself; "
    "then MTF correction, B-factor sharpening, FSC weighting and a low-pass filter at the resolution.",
    inputs=(
        Slot("half_maps", (HALF_MAP,), "One of the two unfiltered half maps (…half1…, …half_A…,"
             " …half_map_1…); the other is found by its name.",
             relion="fn_in"),
        Slot("mask", (MASK,), "Soft solvent mask, values 0 to 1; of any box and pixel size.", relion="fn_mask"),
    ),
    outputs=(
        Output("map", "postprocess.mrc", FINAL_MAP),
        Output("masked_map", "postprocess_masked.mrc", FINAL_MAP),
        Output("postprocess", "postprocess.star", POSTPROCESS),
    ),
    parameters=(
        Parameter("auto_b_factor", bool, True, "Fit the B-factor to the Guinier plot, if the resolution allows it.",
                  relion="do_auto_bfac"),
        Parameter("b_factor", float, None, "Your own B-factor, negative to sharpen; with auto_b_factor: false.",
                  unit="Å²", relion="adhoc_bfac", relion_switch="do_adhoc_bfac"),
        Parameter("fit_from", float, 10.0, "Lowest resolution of the B-factor fit.", unit="Å", minimum=1,
                  relion="autob_lowres"),
        Parameter("fit_to", float, None, "Highest resolution of the fit. Not set: the resolution found. (RELION fits "
                  "to Nyquist, through shells of noise.)", unit="Å", minimum=0.1, advanced=True, at_most="fit_from"),
        Parameter("mtf", str, None, "STAR file with the detector's MTF. Leave it out if refinement has already "
                  "corrected for it.", relion="fn_mtf", relion_switch="do_mtf", file=MTF),
        Parameter("mtf_pixel_size", float, None, "Pixel size of the detector on the specimen. Not set: that of the "
                  "maps.", unit="Å", minimum=0.01, relion="mtf_angpix"),
        Parameter("pixel_size", float, None, "Calibrated pixel size of the maps; overrides their headers.", unit="Å",
                  minimum=0.01, relion="angpix"),
        Parameter("skip_fsc_weighting", bool, False, "Leave out the weights √(2 FSC / (1 + FSC)).",
                  relion="do_skip_fsc_weighting"),
        Parameter("low_pass", float, None, "Low-pass of the final map. Not set: the resolution found; 0: Nyquist.",
                  unit="Å", minimum=0, relion="low_pass"),
        Parameter("random_seed", int, 0, "Seed of the randomised phases.", minimum=0, advanced=True),
    ),
    program="cryosnake.programs.maps.postprocess",
    resources=Resources(threads=2, most_threads=8, mem_mb=8000, runtime=60),
    panels=("postprocess_fsc", "postprocess_guinier", "postprocess_map"),
    references=("Chen et al. 2013, Ultramicroscopy 135", "Rosenthal & Henderson 2003, J. Mol. Biol. 333"),
)
