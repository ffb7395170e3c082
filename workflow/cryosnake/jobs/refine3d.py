"""Refine3D: gold-standard refinement of one map."""

from dataclasses import replace

from cryosnake.jobs.kinds.refinement_options import (
    CTF,
    DIAMETER,
    FIRST_OFFSETS,
    GREYSCALE,
    HIGHRES_LIMIT,
    HOW_IT_RUNS,
    INITIAL_LOWPASS,
    STEPS,
    SYMMETRY,
    ZERO_MASK,
)
from cryosnake.jobs.model import (
    FINAL_MAP,
    HALF_MAP,
    MAP,
    MASK,
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
    name="refine3d",
    folder="Refine3D",
    relion3=10,
    label="relion.refine3d",
    relion_leads=True,
    title="3D refinement",
    topic="refinement",
    description="Refines orientations, shifts and map for two independent halves of the particles until neither the "
    "resolution nor the assignments improve, and joins the halves in a last iteration with all data.",
    inputs=(
        Slot("particles", (PARTICLES,), "Particles to refine.", relion="fn_img"),
        Slot("reference", (MAP, FINAL_MAP, HALF_MAP), "Map to start from, of any box and pixel size; low-pass filtered "
             "first.", relion="fn_ref"),
        Slot("mask", (MASK,), "Soft solvent mask, of any box and pixel size. Not given: a sphere of the particle's "
             "diameter.", required=False, relion="fn_mask"),
    ),
    outputs=(
        Output("particles", "run_data.star", PARTICLES, label="refine3d"),
        Output("half_maps", "run_half1_class001_unfil.mrc", HALF_MAP),
        Output("half_map_2", "run_half2_class001_unfil.mrc", HALF_MAP),
        Output("map", "run_class001.mrc", MAP),
        Output("optimiser", "run_optimiser.star", OPTIMISER, label="refine3d"),
    ),
    parameters=(
        SYMMETRY,
        INITIAL_LOWPASS,
        DIAMETER,
        Parameter("sampling", str, "7.5 degrees", "Initial angular step, after oversampling. If it is as fine as "
                  "local_sampling, only orientations near those of the particles are searched, from the start: for "
                  "particles that have been refined.", choices=STEPS, relion="sampling"),
        Parameter("local_sampling", str, "1.8 degrees", "Angular step at which searches become local.",
                  choices=STEPS, relion="auto_local_sampling"),
        *FIRST_OFFSETS,
        Parameter("solvent_fsc", bool, False, "Measure the FSC inside the mask, corrected by phase randomisation, in "
                  "every iteration.", relion="do_solvent_fsc"),
        Parameter("local_regularisation", bool, False, "Filter the half maps of every iteration locally, as finely "
                  "as each predicts the other (in the spirit of non-uniform refinement); for particles with flexible "
                  "or disordered parts, especially membrane proteins. Needs a mask that includes these parts.",
                  advanced=True),
        replace(HIGHRES_LIMIT, relion=""),  # RELION has it only for classifications
        ZERO_MASK,
        *CTF,
        GREYSCALE,
        Parameter("max_iterations", int, 50, "Do the last iteration after this many, converged or not.",
                  minimum=1, maximum=999, advanced=True),
        *HOW_IT_RUNS,
    ),
    program="cryosnake.programs.refine3d.recipe",
    resources=Resources(threads=2, most_threads=32, mem_mb=16000, runtime=720, gpu=True, maps="2", maps_shared=2,
                        thread_maps_mb=540),
    clean=CleanUp(intermediate=("run*_it*_data.star", "run*_it*_optimiser.star", "run*_it*_sampling.star",
                                "run*_it*_half?_model.star", "run*_it*_half?_class001.mrc")),
    panels=("fsc", "map", "angular_distribution"),
    references=("Scheres 2012, J. Mol. Biol. 415, 406-418", "Scheres & Chen 2012, Nat. Methods 9, 853-854",
                "Punjani, Zhang & Fleet 2020, Nat. Methods 17, 1214-1221"),
)
