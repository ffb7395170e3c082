"""InitialModel: maps from particles alone."""

from cryosnake.jobs.kinds.refinement_options import (
    CTF,
    DIAMETER,
    SYMMETRY,
)
from cryosnake.jobs.kinds.running_options import RUNNING
from cryosnake.jobs.model import (
    DEVICE,
    MAP,
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
    name="initialmodel",
    folder="InitialModel",
    relion3=18,
    label="relion.initialmodel",
    title="3D initial model",
    topic="refinement",
    description="Makes one or several maps from particles alone: from random orientations, by mini-batches with "
    "annealed noise and growing resolution, from several starts, of which the most likely one is continued; finally it "
    "rotates the map onto its symmetry axes, and reports whether the starts, and the halves of the particles, agree.",
    inputs=(Slot("particles", (PARTICLES,), "Particles, without most of the junk.", relion="fn_img"),),
    outputs=(
        Output("map", "initial_model.mrc", MAP),
        Output("particles", "run_it{iterations:03d}_data.star", PARTICLES, label="initialmodel"),
        Output("model", "run_it{iterations:03d}_model.star", MODEL),
        Output("optimiser", "run_it{iterations:03d}_optimiser.star", OPTIMISER, label="initialmodel"),
    ),
    parameters=(
        Parameter("classes", int, 1, "Number of maps; initial_model.mrc is the one with the most particles.", minimum=1,
                  maximum=20, relion="nr_classes"),
        SYMMETRY,
        Parameter("run_in_c1", bool, True, "Find the map without symmetry, then search it for the symmetry axes; "
                  "otherwise the symmetry is imposed from the start.", relion="do_run_C1"),
        DIAMETER,
        Parameter("iterations", int, 80, "Number of mini-batches.", minimum=20, maximum=998, relion="nr_iter"),
        Parameter("starts", int, 3, "Random starts; the most likely one is continued, the others show whether the "
                  "result is reproducible.", minimum=1, maximum=50),
        Parameter("initial_resolution", float, 40.0, "Resolution of the first batches.", unit="Å", minimum=1,
                  relion="sgd_ini_resol"),
        Parameter("final_resolution", float, 15.0, "Resolution of the last ones.", unit="Å", minimum=1,
                  relion="sgd_fin_resol", at_most="initial_resolution"),
        Parameter("initial_batch", int, 100, "Particles of the first batches.", minimum=10, maximum=100000,
                  advanced=True, relion="sgd_ini_subset_size"),
        Parameter("final_batch", int, 200, "Particles of the last ones.", minimum=10, maximum=100000, advanced=True,
                  relion="sgd_fin_subset_size"),
        Parameter("offset_range", float, 15.0, "Shifts are searched this far from the last one at first, "
                  "and less far as the resolution grows.", unit="Å", minimum=0,
                  maximum=200, advanced=True),
        *CTF,
        Parameter("zero_mask", bool, True, "Set pixels outside the particle's mask to 0; otherwise to noise.",
                  advanced=True),
        Parameter("seed", int, 1, "Seed of everything random: starts, batches, perturbations.", minimum=0,
                  advanced=True),
        DEVICE,
        *RUNNING,
    ),
    program="cryosnake.programs.initialmodel.recipe",
    resources=Resources(threads=2, most_threads=32, mem_mb=8000, runtime=120, gpu=True),
    clean=CleanUp(intermediate=("run_it*_class???.mrc",)),
    panels=("stages", "initial_map"),
    references=("Cappé & Moulines 2009, J. R. Stat. Soc. B 71, 593-613", "Punjani et al. 2017, Nat. Methods 14, "
                "290-296", "Zivanov et al. 2018, eLife 7, e42166"),
)
