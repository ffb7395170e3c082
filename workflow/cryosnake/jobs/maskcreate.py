"""MaskCreate: a soft solvent mask from a map."""

from cryosnake.jobs.model import (
    DEVICE,
    FINAL_MAP,
    HALF_MAP,
    MAP,
    MASK,
    JobType,
    Output,
    Parameter,
    Resources,
    Slot,
)

JOB = JobType(
    name="maskcreate",
    folder="MaskCreate",
    relion3=12,
    label="relion.maskcreate",
    title="Mask creation",
    topic="maps",
    description="Low-pass filters a map, takes the region above a threshold, leaves out small separate parts, extends "
    "the region and adds a soft edge. For a half map, the mean of both halves is used.",
    inputs=(Slot("map", (MAP, FINAL_MAP, HALF_MAP), "Map to make the mask from.", relion="fn_in"),),
    outputs=(Output("mask", "mask.mrc", MASK),),
    parameters=(
        Parameter("low_pass", float, 15.0, "Low-pass filter before the threshold; 0 for none.", unit="Å", minimum=0,
                  relion="lowpass_filter"),
        Parameter("threshold", float, None, "Density that encloses the particle. Not set: from molecular_weight, or "
                  "half way between solvent and particle density; run.out gives the value used.",
                  relion="inimask_threshold"),
        Parameter("molecular_weight", float, None, "Mass of the particle; the threshold then encloses the volume of "
                  "this much protein (1.21 Å³ per Da).", unit="kDa", minimum=1),
        Parameter("smallest_part", float, 0.1, "Leave out separate parts smaller than this fraction of the largest "
                  "one; 0 keeps everything (as RELION does), 1 only the largest part.", minimum=0, maximum=1),
        Parameter("extend", float, 3.0, "How far the mask extends beyond the threshold; negative values shrink "
                  "it. In voxels, or Å (see unit).", relion="extend_inimask"),
        Parameter("soft_edge", float, 6.0, "Width of the raised-cosine edge outside that. In voxels, or Å (see unit).",
                  minimum=0, relion="width_mask_edge"),
        Parameter("unit", str, "voxel", "Unit of extend and soft_edge.", choices=("voxel", "angstrom"), advanced=True),
        Parameter("pixel_size", float, None, "Overrides the pixel size in the map's header.", unit="Å", minimum=0.01,
                  advanced=True, relion="angpix"),
        DEVICE,
    ),
    program="cryosnake.programs.maps.maskcreate",
    resources=Resources(threads=1, mem_mb=4000, runtime=30, gpu=True),
    panels=("mask",),
    references=("Otsu 1979, IEEE Trans. Syst. Man Cybern. 9", "Matthews 1968, J. Mol. Biol. 33"),
)
