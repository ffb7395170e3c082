"""MapTool: a map in another hand, box, pixel size, orientation or contrast, filtered, masked, or joined with another.

A job type of this package. RELION has no such job; it lists this as an External one.
"""

from cryosnake.jobs.kinds.values import point_group
from cryosnake.jobs.model import FINAL_MAP, HALF_MAP, MAP, MASK, JobType, Output, Parameter, Resources, Slot

_MAPS = (MAP, FINAL_MAP, HALF_MAP)

JOB = JobType(
    name="maptool",
    folder="MapTool",
    relion3=99,
    label="relion.external.maptool",
    title="Map tool",
    topic="maps",
    description="Changes a map, its half maps and its mask alike. What is set is done in this order: joined with a "
    "second map, contrast inverted, hand flipped, turned onto symmetry axes, resampled, cropped or padded; then the "
    "map is low-passed and masked. Half maps are neither joined, low-passed nor masked: their FSC needs all of them.",
    inputs=(
        Slot("map", _MAPS, "Map to change.", required=False, relion="in_3dref"),
        Slot("half_maps", (HALF_MAP,), "One of two half maps (…half1…, …half_A…, …half_map_1…) to change like the map; "
             "the other is found by its name.", required=False),
        Slot("mask", (MASK,), "Mask of the map, which is changed with it (apply_mask).", required=False,
             relion="in_mask"),
        Slot("second", _MAPS, "Second map, of any box and pixel size, to join the map with (combine).", required=False),
    ),
    outputs=(
        Output("map", "map.mrc", MAP, when="map"),
        Output("half_maps", "half1_map.mrc", HALF_MAP, when="half_maps"),
        Output("half_map_2", "half2_map.mrc", HALF_MAP, when="half_maps"),
        Output("mask", "mask.mrc", MASK, when="mask"),
    ),
    parameters=(
        Parameter("pixel_size", float, None, "Pixel size of the map; overrides its header.", unit="Å", minimum=0.01),
        Parameter("combine", str, "average", "How the map is joined with a second one.", choices=("average", "add")),
        Parameter("invert", bool, False, "Invert the contrast."),
        Parameter("flip_hand", bool, False, "Flip the hand: mirror in x about the origin, voxel box / 2."),
        Parameter("symmetry", str, None, "Find the axes of this point group in the map, and turn and shift it onto "
                  "them: Cn, Dn, T, O, I, I1, I2, I3 or I4.", check=point_group),
        Parameter("new_pixel_size", float, None, "Resample to this pixel size, in a box of the same extent if box is "
                  "not set.", unit="Å", minimum=0.01),
        Parameter("box", int, None, "Crop, or pad with 0, to this box, about the origin.", unit="voxels", minimum=8,
                  maximum=4096),
        Parameter("low_pass", float, None, "Low-pass filter the map.", unit="Å", minimum=0.1),
        Parameter("apply_mask", bool, True, "Multiply the map by the mask, if there is one; otherwise the mask is only "
                  "changed like the map."),
    ),
    program="cryosnake.programs.maps.maptool",
    relion_options={"nr_threads": "1", "min_dedicated": "1"},
    resources=Resources(threads=1, mem_mb=8000, runtime=60),
    panels=("changed_map",),
)
