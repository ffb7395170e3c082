"""ManualPick: the particles that a person picked by hand, in the dashboard or in another program."""

from cryosnake.jobs.model import COORDINATES, MICROGRAPHS, JobType, Output, Parameter, Resources, Slot

JOB = JobType(
    name="manualpick",
    folder="ManualPick",
    relion3=3,
    label="relion.manualpick",
    title="Manual picking",
    topic="picking",
    description="Lists the particles that a person picked: in the dashboard (`cryosnake web --edit`), or taken from "
    "files of another program with `cryosnake pick JOB --from FILE`. The picks are in `decisions/JOB/`, a file per "
    "micrograph, and are kept by every clean-up. The job waits until there are some. RELION can open it again; what is "
    "changed there counts as a decision, too.",
    inputs=(
        Slot("micrographs", (MICROGRAPHS,), "Micrographs to pick on.", relion="fn_in"),
        Slot("coordinates", (COORDINATES,), "Picks to start from: of AutoPick, of RELION's ManualPick "
             "(ManualPick/job005/manualpick.star), or another table that names files. Only those of micrographs that "
             "were saved become results.", required=False, images=False),
    ),
    outputs=(
        Output("coordinates", "manualpick.star", COORDINATES, label="manualpick"),
        Output("suffix", "coords_suffix_manualpick.star", COORDINATES, label="manualpick"),
        Output("micrographs", "micrographs_selected.star", MICROGRAPHS),
    ),
    parameters=(
        Parameter("diameter", float, 150.0, "Diameter of the circles around picks; it changes no result.", unit="Å",
                  minimum=1, identity=False, relion="diameter"),
    ),
    program="cryosnake.programs.micrographs.manualpick",
    by_hand=True,
    resources=Resources(threads=1, mem_mb=2000, runtime=30),
)
