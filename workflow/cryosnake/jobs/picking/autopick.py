"""AutoPick: coordinates of particles, by blob detection, with templates, or with a learned picker."""

from cryosnake.jobs.kinds.values import ascending, point_group
from cryosnake.jobs.model import (
    COORDINATES,
    DEVICE,
    FINAL_MAP,
    HALF_MAP,
    MAP,
    MAX_FAILED,
    MICROGRAPHS,
    PICKER,
    REFERENCES_2D,
    CleanUp,
    JobType,
    Output,
    Parameter,
    Resources,
    Slot,
)

JOB = JobType(
    name="autopick",
    folder="AutoPick",
    relion3=4,
    label="relion.autopick",
    sublabels=(("references", "ref2d"), ("reference", "ref3d"), ("", "log")),
    title="Particle picking",
    topic="picking",
    description="Picks particles as blobs of a given size (Laplacian of Gaussian) that are then centred and ranked by "
    "their own mean profile, by correlation with projections of a map or class averages, multiplied by each "
    "micrograph's CTF, or with a picker that was learned from picks or particles (trainpicker). The threshold adapts "
    "to each micrograph: it lies where peaks become more frequent than noise explains. Regions denser than particles "
    "(crystals) are left out.",
    inputs=(
        Slot("micrographs", (MICROGRAPHS,), "Micrographs, with CTF if available.", relion="fn_input_autopick"),
        Slot("reference", (MAP, FINAL_MAP, HALF_MAP), "Map whose projections are templates.",
             required=False, relion="fn_ref3d_autopick", relion_switch="do_ref3d"),
        Slot("references", (REFERENCES_2D,), "Class averages as templates, instead of a map: a stack, or a STAR "
             "file with rlnReferenceImage.", required=False, relion="fn_refs_autopick", relion_switch="do_refs"),
        Slot("picker", (PICKER,), "Learned picker, for method: trained; `picker: TrainPicker/job012` stays with that "
             "one.", required=False),
    ),
    outputs=(
        Output("coordinates", "autopick.star", COORDINATES, label="autopick"),
        Output("suffix", "coords_suffix_autopick.star", COORDINATES, label="autopick"),
    ),
    parameters=(
        Parameter("method", str, "log", "log finds dark blobs of the given diameters; template correlates with "
                  "projections of `reference` or with `references`; trained uses `picker`.",
                  choices=("log", "template", "trained"), relion="do_log",
                  relion_values={"log": "Yes", "template": "No", "trained": "No"}),
        Parameter("diameter", list[float], None, "Smallest and largest diameter of the particle. Templates are "
                  "compared within the larger one.", unit="Å", length=2, minimum=10, required=True,
                  relion="log_diam_min,log_diam_max", check=ascending, at_most="micrographs"),
        Parameter("threshold", float, 0.0, "Shifts the threshold that adapts to each micrograph; positive values give "
                  "fewer picks, negative ones more.", unit="s.d. of the noise", minimum=-5, maximum=10,
                  relion="log_adjust_thr"),
        Parameter("upper_threshold", float, None, "Leave out picks that rise higher above the noise (contamination "
                  "that is not dense enough to be recognised as such).", unit="s.d. of the noise", minimum=1,
                  relion="log_upper_thr"),
        Parameter("avoid_contamination", bool, True, "Leave out regions much denser or lighter than a typical particle "
                  "of the same micrograph (crystals, dirt, foil)."),
        Parameter("lowpass", float, 20.0, "Low-pass filter of micrographs and templates, which are processed with "
                  "pixels of half this size.", unit="Å", minimum=4, maximum=200, relion="lowpass"),
        Parameter("min_distance", float, None, "Minimum distance between picks. Not set: two thirds of the "
                  "mean diameter.", unit="Å", minimum=1, relion="mindist_autopick"),
        Parameter("border", float, None, "Leave out picks nearer than this to the micrograph's edge. Not set: half "
                  "the smaller diameter.", unit="Å", minimum=0),
        Parameter("invert", bool, True, "Particles are dark in the micrographs and white in the references (log: "
                  "dark).", relion="do_invert_refs"),
        Parameter("angular_step", float, 30.0, "Step between projections of a map; the coarsest HEALPix grid that is "
                  "at least as fine is used.", unit="degrees", minimum=1, maximum=60),
        Parameter("psi_step", float, 10.0, "Step of the in-plane rotation.", unit="degrees", minimum=1,
                  maximum=360, relion="psi_sampling_autopick"),
        Parameter("symmetry", str, "C1", "Point group of a map.", relion="ref3d_symmetry", check=point_group),
        Parameter("ctf", bool, True, "Multiply templates by the CTF of each micrograph.", relion="do_ctf_autopick"),
        Parameter("reference_pixel_size", float, None, "Overrides the pixel size in the reference's header.", unit="Å",
                  minimum=0.01, advanced=True, relion="angpix_ref"),
        Parameter("max_stddev_noise", float, None, "Leave out picks whose surroundings vary more than this, in units "
                  "of the micrograph's s.d.; useful against carbon (1.1 to 1.4).", minimum=0.1,
                  relion="maxstddevnoise_autopick"),
        Parameter("min_avg_noise", float, None, "Leave out picks whose surroundings are darker than this on average, "
                  "in units of the micrograph's s.d. (for example -0.5).", maximum=1, relion="minavgnoise_autopick"),
        MAX_FAILED,
        DEVICE,
    ),
    program="cryosnake.programs.micrographs.autopick",
    per_micrograph=True,
    products=("{root}_autopick.star",),
    table="coordinate_files",
    resources=Resources(threads=1, most_threads=4, mem_mb=2000, runtime=60, gpu=True),
    clean=CleanUp(gentle=("**/*.spi",), harsh=("**/*.spi",)),
    panels=("picks",),
    references=("Lindeberg 1998, Int. J. Comput. Vis. 30", "Roseman 2003, Ultramicroscopy 94",
                "Efron 2004, J. Am. Stat. Assoc. 99"),
)
