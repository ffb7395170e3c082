"""Class3D: several maps from one particle set."""

from cryosnake.jobs.model import (
    DEVICE,
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

_STEPS = ("30 degrees", "15 degrees", "7.5 degrees", "3.7 degrees", "1.8 degrees", "0.9 degrees", "0.5 degrees",
          "0.2 degrees", "0.1 degrees")

JOB = JobType(
    name="class3d",
    folder="Class3D",
    relion3=9,
    label="relion.class3d",
    title="3D classification",
    description="Sorts particles into classes of different structure and makes a map of each, by regularised "
    "likelihood; with alignment, with local searches, or at the poses that the particles have.",
    inputs=(
        Slot("particles", (PARTICLES,), "Particles to classify.", relion="fn_img"),
        Slot("reference", (MAP, FINAL_MAP, HALF_MAP, MODEL), "Map that all classes start from, or a STAR file whose "
             "rlnReferenceImage names one map for each class; low-passed first.", relion="fn_ref"),
        Slot("mask", (MASK,), "Soft solvent mask. Not given: a sphere of the particle's diameter.", required=False,
             relion="fn_mask"),
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
        Parameter("symmetry", str, "C1", "Point group: Cn, Dn, T, O, I, I1, I2, I3 or I4.", relion="sym_name"),
        Parameter("initial_lowpass", float, 60.0, "Resolution that the reference is cut to, so that nothing finer is "
                  "taken from it.", unit="Å", minimum=1, relion="ini_high"),
        Parameter("particle_diameter", float, None, "Diameter of the soft mask about the particle.", unit="Å",
                  minimum=1, required=True, relion="particle_diameter"),
        Parameter("iterations", int, 25, "Number of iterations.", minimum=1, maximum=999, relion="nr_iter"),
        Parameter("tau2_fudge", float, 4.0, "Regularisation parameter T: larger gives finer, noisier maps.",
                  minimum=0.01, relion="tau_fudge"),
        Parameter("align", bool, True, "Search orientations and shifts; false keeps those that the particles have and "
                  "searches the classes only, much faster.", relion="dont_skip_align"),
        Parameter("sampling", str, "7.5 degrees", "Angular step, after oversampling.", choices=_STEPS,
                  relion="sampling"),
        Parameter("local_range", float, None, "Search orientations only within this angle of the last ones (three "
                  "standard deviations of a Gaussian prior). Not set: all orientations.", unit="degrees", minimum=0.1,
                  maximum=180, relion="sigma_angles", relion_switch="do_local_ang_searches"),
        Parameter("offset_range", float, 5.0, "Shifts are searched this far from the last ones.", unit="pixels",
                  minimum=0, maximum=30, relion="offset_range"),
        Parameter("offset_step", float, 1.0, "Step of the shifts, after oversampling.", unit="pixels", minimum=0.1,
                  maximum=5, relion="offset_step"),
        Parameter("highres_limit", float, None, "Use data to this resolution only, against classes of noise. Not set: "
                  "to what the classes reach.", unit="Å", minimum=1, relion="highres_limit"),
        Parameter("zero_mask", bool, True, "Set what is outside the particle's mask to 0; otherwise to noise.",
                  relion="do_zero_mask"),
        Parameter("ctf", bool, True, "Correct for the CTF.", relion="do_ctf_correction"),
        Parameter("ctf_intact_first_peak", bool, False, "Take the CTF as 1 up to its first peak.", advanced=True,
                  relion="ctf_intact_first_peak"),
        Parameter("reference_absolute_greyscale", bool, False, "The references have the particles' grey scale (maps of "
                  "this program or of RELION); otherwise they are scaled by correlation first.",
                  relion="ref_correct_greyscale"),
        Parameter("seed", int, 1, "Seed of all that is random: first classes, perturbations.", minimum=0,
                  advanced=True),
        Parameter("continue_from", str, None, "run_itNNN_optimiser.star to go on from.", advanced=True,
                  identity=False, relion="fn_cont"),
        DEVICE,
    ),
    program="cryosnake.programs.class3d",
    resources=Resources(threads=2, mem_mb=16000, runtime=720, maps="classes", thread_maps_mb=4300),
    clean=CleanUp(intermediate=("run_it*_data.star", "run_it*_model.star", "run_it*_optimiser.star",
                                "run_it*_sampling.star", "run_it*_class???.mrc")),
    panels=("class_maps",),
    references=("Scheres 2012, J. Mol. Biol. 415, 406-418", "Scheres et al. 2007, Nat. Methods 4, 27-29"),
)
