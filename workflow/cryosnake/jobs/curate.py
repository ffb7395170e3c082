"""Curate: which micrographs go on, by limits on their columns and by eye.

A job type of this package. RELION lists it as an External one.
"""

from cryosnake.jobs.model import MICROGRAPHS, JobType, Output, Parameter, Resources, Slot
from cryosnake.limits import flags_problem, limits_problem

JOB = JobType(
    name="curate",
    folder="Curate",
    relion3=99,
    label="relion.external.curate",
    title="Curation",
    topic="micrographs",
    description="Accepts or rejects micrographs by limits on their columns and by flags that a person sets while "
    "looking at them. Both may be changed at any time, in the browser or with `cryosnake curate`, also during a "
    "session: the job keeps its number, only batches in which a micrograph is judged otherwise are written again, and "
    "what follows works on the micrographs that are new to it. Nothing is deleted: what is left out is listed with the "
    "reason.",
    inputs=(Slot("micrographs", (MICROGRAPHS,), "Micrographs, mostly those of CTF estimation.", relion="in_mics",
                 images=False),),
    outputs=(Output("micrographs", "micrographs.star", MICROGRAPHS),
             Output("rejected", "micrographs_rejected.star", MICROGRAPHS)),
    parameters=(
        Parameter("limits", dict[str, str], None, "Limits of columns as smallest..largest value, either of which may "
                  "be left out, as in {rlnCtfMaxResolution: ..6, rlnAccumMotionTotal: ..80, rlnDefocusU: 5000..25000}. "
                  "A micrograph that keeps them all is accepted. Those of decisions/JOB.flags.yaml take their place "
                  "until these are changed.", check=limits_problem),
        Parameter("flags", dict[str, str], None, "Micrographs that are accepted or rejected whatever their values, as "
                  "in {Movies/a: reject}: names below the job directory, without extension. `cryosnake curate` keeps "
                  "them in decisions/JOB.flags.yaml.", check=flags_problem, identity=False, advanced=True),
    ),
    program="cryosnake.programs.micrographs.curate",
    per_micrograph=True,
    judges=True,
    relion_options={"nr_threads": "1", "min_dedicated": "1"},
    resources=Resources(threads=1, mem_mb=1000, runtime=10),
)
