"""Polish: particle images from movies, by the motion of each particle."""

from cryosnake.jobs.kinds.running_options import SHARED_OUT
from cryosnake.jobs.model import (
    DEVICE,
    MICROGRAPHS,
    PARTICLES,
    POSTPROCESS,
    CleanUp,
    JobType,
    Output,
    Parameter,
    Resources,
    Slot,
)

JOB = JobType(
    name="polish",
    folder="Polish",
    relion3=20,
    label="relion.polish",
    title="Polishing",
    topic="refinement",
    description="Follows each particle through the frames of its movie by comparing them with projections of the half "
    "map that it is part of, where neighbours move alike and steadily; measures how much signal each frame has left at "
    "each resolution; and sums the frames accordingly. What is found of a movie is kept, and used again where its "
    "particles, their poses, the half maps and the parameters are the same.",
    inputs=(
        Slot("micrographs", (MICROGRAPHS,), "corrected_micrographs.star of MotionCorr, or of RELION's own motion "
             "correction.", images=False, relion="fn_mic"),
        Slot("particles", (PARTICLES,), "Refined particles, with poses and half sets.", images=False, relion="fn_data"),
        Slot("postprocess", (POSTPROCESS,), "postprocess.star: it names half maps and mask, and its FSC weights "
             "frequencies.", relion="fn_post"),
    ),
    outputs=(Output("particles", "shiny.star", PARTICLES),),
    parameters=(
        Parameter("first_frame", int, 1, "First frame to use, from 1.", minimum=1, relion="first_frame"),
        Parameter("last_frame", int, -1, "Last frame to use; -1 for all.", minimum=-1, relion="last_frame"),
        Parameter("velocity", float, 0.2, "How fast particles move.", unit="Å per e/Å²", minimum=0.001,
                  relion="sigma_vel"),
        Parameter("divergence", float, 5000.0, "Over which distance motions differ.", unit="Å", minimum=1,
                  relion="sigma_div"),
        Parameter("acceleration", float, 2.0, "How much velocities change from frame to frame; 0: freely.",
                  unit="Å per e/Å²", minimum=0, relion="sigma_acc"),
        Parameter("extract_size", int, None, "Box to cut from the movies. Not set: that of the particles.",
                  unit="px", minimum=8, relion="extract_size"),
        Parameter("rescale", int, None, "Box of the images, to which what is cut is rescaled.", unit="px", minimum=8,
                  at_most="extract_size", relion="rescale"),
        Parameter("min_resolution", float, 20.0, "Frames are weighted by how they fall from here on.", unit="Å",
                  minimum=1, relion="minres", advanced=True),
        Parameter("recenter", bool, False, "Cut boxes about the refined centres: whole pixels of the origins move to "
                  "the coordinates."),
        Parameter("train", bool, False, "First learn velocity, divergence and acceleration: those under which tracks "
                  "fitted at low frequencies predict the higher ones best. The search begins at the values given, and "
                  "what it finds is in opt_params_all_groups.txt; give these values where movies are added later."),
        Parameter("training_particles", int, 3000, "Particles to learn from; 1000 need about 1 GB.", minimum=2,
                  advanced=True, relion="optim_min_part"),
        Parameter("held_out", float, 0.5, "Part of the Fourier pixels that is held out.", minimum=0.05, maximum=0.95,
                  advanced=True, relion="eval_frac"),
        DEVICE,
        *SHARED_OUT,
    ),
    program="cryosnake.programs.polish.polish",
    relion_options={"do_polish": "Yes", "do_own_params": "Yes", "do_param_optim": "No", "extract_size": "-1",
                    "rescale": "-1"},
    resources=Resources(threads=2, most_threads=16, mem_mb=16000, runtime=240, gpu=True),
    clean=CleanUp(gentle=("**/*_FCC_*.mrc", "**/*_motion.npz")),
    panels=("tracks", "frame_weights"),
    references=("Zivanov, Nakane & Scheres 2019, IUCrJ 6, 5-17",),
)
