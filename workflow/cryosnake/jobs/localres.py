"""LocalRes: the resolution at each voxel, and a map filtered to it."""

from cryosnake.jobs.kinds.files import MTF
from cryosnake.jobs.model import (
    DEVICE,
    FINAL_MAP,
    HALF_MAP,
    LOCAL_RESOLUTION,
    MASK,
    JobType,
    Output,
    Parameter,
    Resources,
    Slot,
)

JOB = JobType(
    name="localres",
    folder="LocalRes",
    relion3=16,
    label="relion.localres.own",
    title="Local resolution",
    topic="maps",
    description="Measures the resolution of two half maps at each voxel, by their FSC in a soft sphere around it, and "
    "filters their mean to it: FSC weighting, low-pass, MTF correction and sharpening by a B-factor.",
    inputs=(
        Slot("half_maps", (HALF_MAP,), "One of the two unfiltered half maps (…half1…, …half_A…,"
             " …half_map_1…); the other is found by its name.",
             relion="fn_in"),
        Slot("mask", (MASK,), "Soft solvent mask, values 0 to 1; of any box and pixel size. Both maps are 0 outside it "
             "(RELION's are not). Not given: the whole box.", required=False, relion="fn_mask"),
    ),
    outputs=(
        Output("resolution", "relion_locres.mrc", LOCAL_RESOLUTION),
        Output("map", "relion_locres_filtered.mrc", FINAL_MAP),
    ),
    parameters=(
        Parameter("b_factor", float, -100.0, "B-factor of the filtered map, negative to sharpen; PostProcess gives a "
                  "good value.", unit="Å²", relion="adhoc_bfac"),
        Parameter("mtf", str, None, "STAR file with the detector's MTF. Leave it out if refinement has already "
                  "corrected for it.", relion="fn_mtf", file=MTF),
        Parameter("mtf_pixel_size", float, None, "Pixel size of the detector on the specimen (--mtf_angpix). Not set: "
                  "that of the maps.", unit="Å", minimum=0.01),
        Parameter("pixel_size", float, None, "Calibrated pixel size of the maps; overrides their headers.", unit="Å",
                  minimum=0.01, relion="angpix"),
        Parameter("sampling", float, 25.0, "Distance of the positions where the FSC is measured (--locres_sampling).",
                  unit="Å", minimum=1),
        Parameter("window_radius", float, None, "Radius of the sphere (--locres_maskrad). Not set: half the sampling.",
                  unit="Å", minimum=1, advanced=True),
        Parameter("window_edge", float, None, "Width of the sphere's raised-cosine edge (--locres_edgwidth). Not set: "
                  "the sampling. A smaller sphere follows changes more closely, with a noisier FSC.", unit="Å",
                  minimum=0, advanced=True),
        Parameter("lowest_resolution", float, 50.0, "No voxel gets a lower resolution (--locres_minres).", unit="Å",
                  minimum=5, advanced=True),
        Parameter("threshold", float, 0.143, "FSC at which the resolution is read.", minimum=0.01, maximum=0.99,
                  advanced=True),
        DEVICE,
    ),
    program="cryosnake.programs.maps.localres",
    relion_options={"do_relion_locres": "Yes", "do_resmap_locres": "No"},
    resources=Resources(threads=2, most_threads=16, mem_mb=8000, runtime=60, gpu=True),
    panels=("local_resolution",),
    references=("Cardone, Heymann & Steven 2013, J. Struct. Biol. 184, 226-236",
                "Kucukelbir, Sigworth & Tagare 2014, Nat. Methods 11, 63-65"),
)
