"""TrainPicker: learns from a person's picks, or from particles that were kept, what AutoPick is to look for.

A job type of this package. RELION lists it as an External one.
"""

from cryosnake.jobs.kinds.values import ascending
from cryosnake.jobs.model import COORDINATES, DEVICE, PARTICLES, PICKER, JobType, Output, Parameter, Resources, Slot

JOB = JobType(
    name="trainpicker",
    folder="TrainPicker",
    relion3=99,
    label="relion.external.trainpicker",
    title="Training a picker",
    topic="picking",
    description="Learns a picker for `method: trained` of AutoPick: from a person's picks (100 to 200 on a few "
    "micrographs are enough, if all particles of these are picked), or from particles that survived classification or "
    "refinement. It needs no other software, takes seconds, and gives the same picker each time. All that AutoPick "
    "picks with it, also in movies that are added later, is picked by this one picker.",
    inputs=(
        Slot("coordinates", (COORDINATES,), "A person's picks: manualpick.star of RELION's ManualPick, or another "
             "table that names files (.star, .box, .cbox); give coordinates or particles.", required=False,
             relion="in_coords", images=False),
        Slot("particles", (PARTICLES,), "Particles that were kept; their refined centres count.", required=False,
             relion="in_parts", images=False),
    ),
    outputs=(Output("picker", "picker.npz", PICKER),),
    parameters=(
        Parameter("diameter", list[float], None, "Smallest and largest diameter of the particle.", unit="Å", length=2,
                  minimum=10, required=True, check=ascending),
        Parameter("invert", bool, True, "Particles are dark in the micrographs."),
        Parameter("most_micrographs", int, 12, "Learn from at most this many micrographs, drawn by the seed from "
                  "those with picks.", minimum=1),
        Parameter("pixel_size", float, None, "Pixel size of the micrographs; overrides their headers.", unit="Å",
                  minimum=0.01),
        Parameter("seed", int, 1, "Seed of what is drawn at random.", minimum=0, advanced=True),
        DEVICE,
    ),
    program="cryosnake.programs.micrographs.trainpicker",
    relion_options={"nr_threads": "1", "min_dedicated": "1"},
    resources=Resources(threads=1, most_threads=4, mem_mb=4000, runtime=60, gpu=True),
    references=("Huang et al. 2006, Neurocomputing 70", "Hoerl and Kennard 1970, Technometrics 12"),
)
