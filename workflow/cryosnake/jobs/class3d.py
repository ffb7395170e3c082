"""Class3D: several maps from one particle set."""

from cryosnake.jobs.kinds.refinement_options import (
    CTF,
    DIAMETER,
    GREYSCALE,
    HIGHRES_LIMIT,
    HOW_IT_RUNS,
    INITIAL_LOWPASS,
    OFFSETS,
    STEPS,
    SYMMETRY,
    ZERO_MASK,
)
from cryosnake.jobs.model import (
    FINAL_MAP,
    HALF_MAP,
    MAP,
    MASK,
    MODEL,
    OPTIMISER,
    PARTICLES,
    CleanUp,
    JobType,
    Output,
    Parameter,
    Resources,
    Slot,
)

JOB = JobType(
    name="class3d",
    folder="Class3D",
    relion3=9,
    label="relion.class3d",
    title="3D classification",
    topic="classification",
    description="Sorts particles into classes of different structure and makes a map of each class, by regularised "
    "likelihood: with alignment, with local searches, or at the poses that the particles already have.",
    inputs=(
        Slot("particles", (PARTICLES,), "Particles to classify.", relion="fn_img"),
        Slot("reference", (MAP, FINAL_MAP, HALF_MAP, MODEL), "Map from which all classes start, or a STAR file whose "
             "rlnReferenceImage names one map per class; of any box and pixel size; low-pass filtered first.",
             relion="fn_ref"),
        Slot("mask", (MASK,), "Soft solvent mask, of any box and pixel size. Not given: a sphere of the particle's "
             "diameter.", required=False, relion="fn_mask"),
    ),
    outputs=(
        Output("particles", "run_it{iterations:03d}_data.star", PARTICLES, label="refine3d"),
        Output("optimiser", "run_it{iterations:03d}_optimiser.star", OPTIMISER, label="class3d"),
        Output("class{number}", "run_it{iterations:03d}_class{number:03d}.mrc", MAP, label="relion.class3d",
               each="classes"),
        Output("model", "run_it{iterations:03d}_model.star", MODEL),
    ),
    parameters=(
        Parameter("classes", int, 4, "Number of classes.", minimum=1, relion="nr_classes"),
        SYMMETRY,
        INITIAL_LOWPASS,
        DIAMETER,
        Parameter("iterations", int, 25, "Number of iterations.", minimum=1, maximum=999, relion="nr_iter"),
        Parameter("tau2_fudge", float, 4.0, "Regularisation parameter T: larger gives finer, noisier maps.",
                  minimum=0.01, relion="tau_fudge"),
        Parameter("align", bool, True, "Search orientations and shifts; false keeps those of the particles and "
                  "searches only the classes, much faster.", relion="dont_skip_align"),
        Parameter("sampling", str, "7.5 degrees", "Angular step, after oversampling.", choices=STEPS,
                  relion="sampling"),
        Parameter("local_range", float, None, "Search orientations only within this angle of the last one (three "
                  "standard deviations of a Gaussian prior). Not set: all orientations.", unit="degrees", minimum=0.1,
                  maximum=180, relion="sigma_angles", relion_switch="do_local_ang_searches"),
        Parameter("fine_iterations", int, None, "Iterations at the end that search near each particle's orientation "
                  "with half the step. Not set: a third of them, where all orientations were searched before and all "
                  "classes start from one map; else none.", minimum=0, maximum=999),
        *OFFSETS,
        HIGHRES_LIMIT,
        ZERO_MASK,
        *CTF,
        GREYSCALE,
        *HOW_IT_RUNS,
    ),
    program="cryosnake.programs.class3d.recipe",
    resources=Resources(threads=2, most_threads=32, mem_mb=16000, runtime=720, gpu=True, maps="classes",
                        thread_maps_mb=4300),
    clean=CleanUp(intermediate=("run*_it*_data.star", "run*_it*_model.star", "run*_it*_optimiser.star",
                                "run*_it*_sampling.star", "run*_it*_class???.mrc")),
    panels=("class_maps",),
    references=("Scheres 2012, J. Mol. Biol. 415, 406-418", "Scheres et al. 2007, Nat. Methods 4, 27-29"),
)
