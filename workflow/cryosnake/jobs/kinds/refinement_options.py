"""Parameters shared by classification, refinement and initial models, with RELION's names."""

from dataclasses import replace

from cryosnake.jobs.kinds.running_options import CONTINUE, RUNNING
from cryosnake.jobs.kinds.values import point_group
from cryosnake.jobs.model import DEVICE, Parameter

STEPS = ("30 degrees", "15 degrees", "7.5 degrees", "3.7 degrees", "1.8 degrees", "0.9 degrees", "0.5 degrees",
         "0.2 degrees", "0.1 degrees")
SYMMETRY = Parameter("symmetry", str, "C1", "Point group: Cn, Dn, T, O, I, I1, I2, I3 or I4.", relion="sym_name",
                     check=point_group)
INITIAL_LOWPASS = Parameter("initial_lowpass", float, 60.0, "Low-pass filter the reference to this resolution, so "
                            "that no finer detail comes from it.", unit="Å", minimum=1, relion="ini_high")
DIAMETER = Parameter("particle_diameter", float, None, "Diameter of the soft mask around the particle.", unit="Å",
                     minimum=1, required=True, relion="particle_diameter", at_most="particles")
OFFSETS = (
    Parameter("offset_range", float, 5.0, "Shifts are searched this far from the last one.", unit="pixels", minimum=0,
              maximum=30, relion="offset_range"),
    Parameter("offset_step", float, 1.0, "Step of the shifts, after oversampling.", unit="pixels", minimum=0.1,
              maximum=5, relion="offset_step"),
)
FIRST_OFFSETS = (
    replace(OFFSETS[0], help="Shifts are searched this far from the last one, at first."),
    replace(OFFSETS[1], help="Initial step of the shifts, after oversampling."),
)
ZERO_MASK = Parameter("zero_mask", bool, True, "Set pixels outside the particle's mask to 0; otherwise to noise.",
                      relion="do_zero_mask")
CTF = (
    Parameter("ctf", bool, True, "Correct for the CTF.", relion="do_ctf_correction"),
    Parameter("ctf_intact_first_peak", bool, False, "Treat the CTF as 1 up to its first peak; for references that look "
              "blurred.", advanced=True, relion="ctf_intact_first_peak"),
)
HIGHRES_LIMIT = Parameter("highres_limit", float, None, "Use data only to this resolution to find classes and "
                          "poses, to suppress classes of noise; maps and averages still extend as far as the data. "
                          "Not set: to the resolution that these reach.", unit="Å", minimum=1, advanced=True,
                          relion="highres_limit")
GREYSCALE = Parameter("reference_absolute_greyscale", bool, False, "The reference has the particles' grey scale (a map "
                      "made by this program or by RELION); otherwise it is first scaled by correlation.",
                      relion="ref_correct_greyscale")
SEED = Parameter("seed", int, 1, "Seed of everything random.", minimum=0, advanced=True)
HOW_IT_RUNS = (SEED, *CONTINUE, DEVICE, *RUNNING)
