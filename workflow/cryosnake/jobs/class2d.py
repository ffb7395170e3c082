"""Class2D: class averages of particles."""

from cryosnake.jobs.kinds.refinement_options import (
    CTF,
    DIAMETER,
    HIGHRES_LIMIT,
    HOW_IT_RUNS,
    OFFSETS,
    ZERO_MASK,
)
from cryosnake.jobs.model import (
    MODEL,
    OPTIMISER,
    PARTICLES,
    REFERENCES_2D,
    CleanUp,
    JobType,
    Output,
    Parameter,
    Resources,
    Slot,
)

JOB = JobType(
    name="class2d",
    folder="Class2D",
    relion3=8,
    label="relion.class2d",
    title="2D classification",
    topic="classification",
    description="Sorts particles into classes and averages each class, by regularised likelihood from random starts: "
    "shows the views that occur and the picks that are not particles.",
    inputs=(Slot("particles", (PARTICLES,), "Particles to classify.", relion="fn_img"),),
    outputs=(
        Output("particles", "run_it{iterations:03d}_data.star", PARTICLES, label="class2d"),
        Output("model", "run_it{iterations:03d}_model.star", MODEL),
        Output("optimiser", "run_it{iterations:03d}_optimiser.star", OPTIMISER, label="class2d"),
        Output("references", "run_it{iterations:03d}_classes.mrcs", REFERENCES_2D),
    ),
    parameters=(
        Parameter("classes", int, 50, "Number of classes; about one for every 50 to 100 particles.", minimum=1,
                  relion="nr_classes"),
        DIAMETER,
        Parameter("iterations", int, 25, "Number of iterations.", minimum=1, maximum=999,
                  relion="nr_iter_em,nr_iter_grad"),
        Parameter("method", str, "auto", "em: all particles in every iteration. gradient: growing mini-batches, then "
                  "three iterations over all particles: several times fewer passes, for large sets. auto: gradient if "
                  "there are enough particles for each class.", choices=("auto", "em", "gradient"),
                  relion="do_em,do_grad", relion_values={"auto": "Yes,No", "em": "Yes,No", "gradient": "No,Yes"}),
        Parameter("tau2_fudge", float, 2.0, "Regularisation parameter T: larger gives finer, noisier averages.",
                  minimum=0.01, relion="tau_fudge"),
        Parameter("psi_step", float, 6.0, "In-plane angular step, after oversampling.", unit="degrees", minimum=0.5,
                  maximum=30, relion="psi_sampling"),
        *OFFSETS,
        *CTF,
        ZERO_MASK,
        HIGHRES_LIMIT,
        Parameter("center_classes", bool, True, "Keep the averages' centres of mass at the image centre.",
                  relion="do_center"),
        *HOW_IT_RUNS,
    ),
    program="cryosnake.programs.class2d.recipe",
    resources=Resources(threads=2, most_threads=32, mem_mb=8000, runtime=240, gpu=True),
    clean=CleanUp(intermediate=("run*_it*_data.star", "run*_it*_model.star", "run*_it*_optimiser.star",
                                "run*_it*_sampling.star", "run*_it*_classes.mrcs")),
    panels=("class_averages",),
    references=("Scheres 2012, J. Mol. Biol. 415, 406-418", "Scheres 2012, J. Struct. Biol. 180, 519-530"),
)
