"""Select: a subset of the particles or micrographs."""

from cryosnake.jobs.kinds.values import point_group
from cryosnake.jobs.model import (
    MICROGRAPHS,
    MODEL,
    PARTICLES,
    REFERENCES_2D,
    JobType,
    Output,
    Parameter,
    Resources,
    Slot,
)
from cryosnake.limits import flags_problem, limits_problem

JOB = JobType(
    name="select",
    folder="Select",
    relion3=7,
    label="relion.select",
    sublabels=(("minimum_score", "class2dauto"), ("label", "onvalue"), ("discard_sigma", "discard"),
               ("duplicate_distance", "removeduplicates"), ("split_count", "split"), ("split_size", "split"),
               ("", "interactive")),
    title="Selection",
    topic="selection",
    description="Selects particles or micrographs by class, by the value of a column or by image statistics, removes "
    "duplicates, makes copies by symmetry, or splits them. The steps whose parameters are set are done, in this order.",
    inputs=(
        Slot("particles", (PARTICLES,), "Particles to choose from; give particles or micrographs.", required=False,
             relion="fn_data", relion_unless="model", relion_also={"discard_label": "rlnImageName"}, images=False),
        Slot("micrographs", (MICROGRAPHS,), "Micrographs to choose from.", required=False, relion="fn_mic",
             relion_also={"discard_label": "rlnMicrographName"}, images=False),
        Slot("model", (MODEL,), "model.star of the classification, for the averages and scores of the classes.",
             required=False, relion="fn_model", relion_outputs={  # RELION selects by values from tables of rows only
                 **dict.fromkeys(("label", "discard_sigma", "duplicate_distance", "split_count", "split_size"), ""),
                 "minimum_score": "optimiser"}),
    ),
    outputs=(
        Output("particles", "particles.star", PARTICLES, when="particles"),
        Output("micrographs", "micrographs.star", MICROGRAPHS, when="micrographs"),
        Output("class_averages", "class_averages.star", REFERENCES_2D, when="model"),
        Output("rejected", "particles_rejected.star", PARTICLES, when="curate"),
        Output("split1", "particles_split1.star", PARTICLES, when="split_count"),
        Output("split2", "particles_split2.star", PARTICLES, when="split_count"),
    ),
    parameters=(
        Parameter("classes", list[int], None, "Numbers of the classes to keep, from 1, for the classification that "
                  "they are first applied to; `choose`: the job waits for `cryosnake choose`.", minimum=1,
                  chosen_from=("particles", "model")),
        Parameter("minimal_class_size", int, None, "Keep only classes with at least this many particles.", minimum=1),
        Parameter("minimum_score", float, None, "Keep only classes to which Class2D's ranking gives at least this "
                  "score; 0.5 separates particles from junk. Needs model; class_selection.star gives the reasons.",
                  minimum=0, maximum=1, relion="rank_threshold", relion_switch="do_class_ranker"),
        Parameter("particle_scores", bool, True, "With minimum_score: also leave out particles of kept classes "
                  "that themselves score less: noise that only looks like the average, and picks that slid onto a "
                  "neighbour."),
        Parameter("recenter", bool, False, "Move 2D class averages onto their centre of positive density, as templates "
                  "for picking should be; needs model. Particles keep their origins.", relion="do_recenter"),
        Parameter("regroup", int, None, "Put the particles into about this many groups, which share a scale of "
                  "intensity in refinement: for micrographs with few particles. Needs model.", minimum=1, maximum=999,
                  relion="nr_groups", relion_switch="do_regroup"),
        Parameter("maximum_shift", float, None, "Leave out particles that alignment shifted further than this; "
                  "particle_scores already sets this limit to the particle's edge.", unit="Å", minimum=0),
        Parameter("label", str, None, "Column to choose by, such as rlnCtfMaxResolution.", relion="select_label",
                  relion_switch="do_select_values"),
        Parameter("minimum", float, None, "Smallest value of that column to keep.", relion="select_minval",
                  at_most="maximum"),
        Parameter("maximum", float, None, "Largest value of that column to keep.", relion="select_maxval"),
        Parameter("limits", dict[str, str], None, "Limits of columns as smallest..largest value, either of which may "
                  "be left out, as in {rlnCtfMaxResolution: ..6}.", check=limits_problem),
        Parameter("curate", bool, False, "Particles are also accepted or rejected by limits and flags that a person "
                  "sets in the browser or with `cryosnake curate` (decisions/JOB.flags.yaml); what is left out is "
                  "listed in particles_rejected.star. Other decisions make another job, under its own number."),
        Parameter("flags", dict[str, str], None, "With curate: images that are accepted or rejected whatever their "
                  "values, as in {000012@Extract/job005/Movies/a.mrcs: reject}.", check=flags_problem, identity=False,
                  advanced=True),
        Parameter("flagged", str, None, "Digest of the flags by which a job is made; set by cryosnake.", advanced=True),
        Parameter("discard_sigma", float, None, "Leave out images whose mean or standard deviation is more than this "
                  "many σ away from that of all.", minimum=0.1, relion="discard_sigma", relion_switch="do_discard"),
        Parameter("discard_label", str, None, "Column with the images for discard_sigma. Not set: rlnImageName or "
                  "rlnMicrographName.", advanced=True, relion="discard_label"),
        Parameter("duplicate_distance", float, None, "Of particles of one micrograph that are nearer than this, keep "
                  "only the last; positions include alignment origins.", unit="Å", minimum=0,
                  relion="duplicate_threshold", relion_switch="do_remove_duplicates"),
        Parameter("remove_copies", bool, False, "Of rows with the same image keep only the first: symmetry expansion "
                  "is undone."),
        Parameter("expand_symmetry", str, None, "Symmetry expansion: a copy of each particle at each orientation that "
                  "this point group makes equal: Cn, Dn, T, O, I, I1, I2, I3 or I4. Refine copies without symmetry, "
                  "inside a mask, by local searches or without alignment.", check=point_group),
        Parameter("pixel_size", float, None, "Pixel size of the micrographs, the unit of the coordinates. Not set: "
                  "from the optics table.", unit="Å", minimum=0.01, advanced=True, relion="image_angpix"),
        Parameter("split_count", int, None, "Split particles into this many parts.", minimum=2, relion="nr_split",
                  relion_switch="do_split"),
        Parameter("split_size", int, None, "Split into parts of this many rows; with split_count, into at "
                  "most that number of parts.", minimum=1, relion="split_size"),
        Parameter("random_order", bool, False, "Shuffle before the split.", relion="do_random"),
        Parameter("random_seed", int, 0, "Seed of the shuffle.", minimum=0, advanced=True),
    ),
    program="cryosnake.programs.select.select",
    resources=Resources(threads=1, mem_mb=2000, runtime=30),
    panels=("class_selection",),
    panels_when="minimum_score",
)
