"""Refine3D: gold-standard refinement of one map."""

from cryosnake.jobs.model import (
    DEVICE,
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
from cryosnake.jobs.running_options import RUNNING

_STEPS = ("30 degrees", "15 degrees", "7.5 degrees", "3.7 degrees", "1.8 degrees", "0.9 degrees", "0.5 degrees",
          "0.2 degrees", "0.1 degrees")

JOB = JobType(
    name="refine3d",
    folder="Refine3D",
    relion3=10,
    label="relion.refine3d",
    title="3D refinement",
    description="Refines orientations, shifts and map of two independent halves of the particles until neither the "
    "resolution nor the assignments improve, and joins them in a last iteration with all data.",
    inputs=(
        Slot("particles", (PARTICLES,), "Particles to refine.", relion="fn_img"),
        Slot("reference", (MAP, FINAL_MAP, HALF_MAP), "Map to start from; it is low-passed first.", relion="fn_ref"),
        Slot("mask", (MASK,), "Soft solvent mask. Not given: a sphere of the particle's diameter.", required=False,
             relion="fn_mask"),
    ),
    outputs=(
        Output("particles", "run_data.star", PARTICLES, label="refine3d"),
        Output("half_maps", "run_half1_class001_unfil.mrc", HALF_MAP),
        Output("half_map_2", "run_half2_class001_unfil.mrc", HALF_MAP),
        Output("map", "run_class001.mrc", MAP),
        Output("optimiser", "run_optimiser.star", OPTIMISER, label="refine3d"),
    ),
    parameters=(
        Parameter("symmetry", str, "C1", "Point group: Cn, Dn, T, O, I, I1, I2, I3 or I4.", relion="sym_name"),
        Parameter("initial_lowpass", float, 60.0, "Resolution that the reference is cut to, so that nothing finer is "
                  "taken from it.", unit="Å", minimum=1, relion="ini_high"),
        Parameter("particle_diameter", float, None, "Diameter of the soft mask about the particle.", unit="Å",
                  minimum=1, required=True, relion="particle_diameter"),
        Parameter("sampling", str, "7.5 degrees", "Angular step to start with, after oversampling.", choices=_STEPS,
                  relion="sampling"),
        Parameter("local_sampling", str, "1.8 degrees", "Angular step from which on searches are local.",
                  choices=_STEPS, relion="auto_local_sampling"),
        Parameter("offset_range", float, 5.0, "Shifts are searched this far from the last ones, at first.",
                  unit="pixels", minimum=0, maximum=30, relion="offset_range"),
        Parameter("offset_step", float, 1.0, "Step of the shifts at first, after oversampling.", unit="pixels",
                  minimum=0.1, maximum=5, relion="offset_step"),
        Parameter("solvent_fsc", bool, False, "Measure the FSC inside the mask, corrected by phase randomisation, in "
                  "every iteration.", relion="do_solvent_fsc"),
        Parameter("local_regularisation", bool, False, "Filter the half maps of every iteration place by place, as "
                  "finely as each predicts the other (in the spirit of non-uniform refinement); for particles with "
                  "flexible or disordered parts, membrane proteins above all. Needs a mask that holds them.",
                  advanced=True),
        Parameter("zero_mask", bool, True, "Set what is outside the particle's mask to 0; otherwise to noise.",
                  relion="do_zero_mask"),
        Parameter("ctf", bool, True, "Correct for the CTF.", relion="do_ctf_correction"),
        Parameter("ctf_intact_first_peak", bool, False, "Take the CTF as 1 up to its first peak.", advanced=True,
                  relion="ctf_intact_first_peak"),
        Parameter("reference_absolute_greyscale", bool, False, "The reference has the particles' grey scale (a map of "
                  "this program or of RELION); otherwise it is scaled by correlation first.",
                  relion="ref_correct_greyscale"),
        Parameter("max_iterations", int, 50, "Iterations after which the last one is made, converged or not.",
                  minimum=1, maximum=999, advanced=True),
        Parameter("seed", int, 1, "Seed of all that is random: half sets, perturbations.", minimum=0, advanced=True),
        Parameter("continue_from", str, None, "run_itNNN_optimiser.star to go on from.", advanced=True,
                  identity=False, relion="fn_cont"),
        DEVICE,
        *RUNNING,
    ),
    program="cryosnake.programs.refine3d",
    resources=Resources(threads=2, mem_mb=16000, runtime=720, gpu=True, maps="2", maps_shared=2,
                        thread_maps_mb=540),
    clean=CleanUp(intermediate=("run_it*_data.star", "run_it*_optimiser.star", "run_it*_sampling.star",
                                "run_it*_half?_model.star", "run_it*_half?_class001.mrc")),
    panels=("fsc", "map", "angular_distribution"),
    references=("Scheres 2012, J. Mol. Biol. 415, 406-418", "Scheres & Chen 2012, Nat. Methods 9, 853-854",
                "Punjani, Zhang & Fleet 2020, Nat. Methods 17, 1214-1221"),
)
