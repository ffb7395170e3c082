"""Extract: particle images, cut from the micrographs at their coordinates."""

from cryosnake.jobs.kinds.values import even
from cryosnake.jobs.model import (
    COORDINATES,
    DEVICE,
    MAX_FAILED,
    MICROGRAPHS,
    PARTICLES,
    CleanUp,
    JobType,
    Output,
    Parameter,
    Resources,
    Slot,
)

JOB = JobType(
    name="extract",
    folder="Extract",
    relion3=5,
    label="relion.extract",
    sublabels=(("particles", "reextract"),),
    title="Particle extraction",
    topic="picking",
    description="Cuts boxes around the coordinates, rescales them by cropping their Fourier transforms, and normalises "
    "their background. With `particles` instead of `coordinates`, refined particles are extracted again, with another "
    "box or pixel size, from micrographs of another binning, or on their refined centres; their optics groups stay, "
    "with everything that was refined for them. What they lack of CTF and optics is that of their micrographs.",
    inputs=(
        Slot("micrographs", (MICROGRAPHS,), "Micrographs, with CTF if available.", relion="star_mics"),
        Slot("coordinates", (COORDINATES,), "Coordinates: a table that names files (.star, .box, .cbox); give "
             "coordinates or particles.", required=False,
             relion="coords_suffix", relion_output="suffix", images=False),
        Slot("particles", (PARTICLES,), "Particles to extract again.", required=False, relion="fndata_reextract",
             relion_switch="do_reextract", images=False),
    ),
    outputs=(Output("particles", "particles.star", PARTICLES),),
    parameters=(
        Parameter("box_size", int, None, "Side of the box; even.", unit="px of the micrograph", minimum=8, maximum=4096,
                  required=True, relion="extract_size", check=even, at_most="micrographs"),
        Parameter("rescale", int, None, "Side of the box after rescaling; even. Not set: as extracted.", unit="px",
                  minimum=8, maximum=4096, relion="rescale", relion_switch="do_rescale",
                  check=even, at_most="box_size"),
        Parameter("invert", bool, True, "Invert the contrast, so that protein is white.", relion="do_invert"),
        Parameter("normalise", bool, True, "Subtract a ramp and scale the background to mean 0, standard deviation 1.",
                  relion="do_norm"),
        Parameter("background_diameter", int, None, "The background lies outside a circle of this diameter. Not set: "
                  "¾ of the box.", unit="px of the micrograph", minimum=1, relion="bg_diameter", at_most="box_size"),
        Parameter("white_dust", float, None, "Replace pixels this many standard deviations above the background by "
                  "noise. Not set: off.", minimum=1, relion="white_dust"),
        Parameter("black_dust", float, None, "Replace pixels this many standard deviations below the background by "
                  "noise. Not set: off.", minimum=1, relion="black_dust"),
        Parameter("float16", bool, False, "Write stacks with 16 bits per pixel; RELION 3.1 does not read them.",
                  relion="do_float16"),
        Parameter("recenter", bool, False, "Extract again: move the coordinates onto the refined centres.",
                  relion="do_recenter"),
        Parameter("recenter_point", list[float], [0.0, 0.0, 0.0], "Extract again: move this point of the reference "
                  "(x, y, z from its centre) to the box centre.", unit="Å", length=3),
        Parameter("reset_offsets", bool, False, "Extract again: set the refined origins to 0.",
                  relion="do_reset_offsets"),
        MAX_FAILED,
        DEVICE,
    ),
    program="cryosnake.programs.micrographs.extract",
    per_micrograph=True,
    products=("{root}.mrcs",),
    table="particles",
    resources=Resources(threads=1, most_threads=4, mem_mb=3000, runtime=60, gpu=True),
    clean=CleanUp(gentle=("**/*_extract.star",), harsh=("**/",), data=("**/*.mrcs",)),
    panels=("particles",),
)
