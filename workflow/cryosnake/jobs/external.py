"""External: another program, run by RELION's protocol for External jobs."""

from dataclasses import replace

from cryosnake.jobs.kinds.files import PROGRAM
from cryosnake.jobs.model import (
    COORDINATES,
    DEVICE,
    FINAL_MAP,
    HALF_MAP,
    MAP,
    MASK,
    MICROGRAPHS,
    MOVIES,
    PARTICLES,
    JobType,
    Parameter,
    Resources,
    Slot,
)

JOB = JobType(
    name="external",
    folder="External",
    relion3=99,
    label="relion.external",
    title="External program",
    description="Runs another program as RELION runs its External jobs: PROGRAM --o JOB/ --in_mics FILE … --NAME "
    "VALUE … --j THREADS. Its outputs are declared here, so that other jobs can be connected before it has run. "
    "docs/external-jobs.md is the guide.",
    inputs=(
        Slot("movies", (MOVIES,), "Movies; --in_movies.", required=False, relion="in_mov"),
        Slot("micrographs", (MICROGRAPHS,), "Micrographs; --in_mics.", required=False, relion="in_mic"),
        Slot("particles", (PARTICLES,), "Particles; --in_parts.", required=False, relion="in_part"),
        Slot("coordinates", (COORDINATES,), "Coordinates; --in_coords.", required=False, relion="in_coords"),
        Slot("map", (MAP, FINAL_MAP, HALF_MAP), "3D reference; --in_3dref.", required=False, relion="in_3dref"),
        Slot("mask", (MASK,), "3D mask; --in_mask.", required=False, relion="in_mask"),
    ),
    outputs=(),
    declared="outputs",
    parameters=(
        Parameter("executable", str, None, "The program, with options that come before all others: a path (relative "
                  "to the project), or a name on the PATH.", required=True, relion="fn_exe", file=PROGRAM),
        Parameter("parameters", dict[str, str], None, "Up to ten options for the program: `{threshold: 0.1}` becomes "
                  "`--threshold 0.1`; an empty value gives an option without a value.", length=10,
                  relion="param{number}_label,param{number}_value"),
        Parameter("outputs", dict[str, str], None, "Files that it makes in its job directory, by node type: "
                  "`{particles: particles.star}`, or `{good: good.star:particles}`.", required=True, identity=False),
        replace(DEVICE, default="cpu", help="`gpu` asks Snakemake for a GPU for the program."),
    ),
    program="cryosnake.running.external",
    relion_options={"nr_threads": "1", "min_dedicated": "1"},
    resources=Resources(threads=1, mem_mb=8000, runtime=240, gpu=True),
    deterministic=False,
)
