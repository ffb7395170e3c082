"""A lane: how jobs are submitted to one cluster, from either program. Kept as lane.json beside the script template."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.json_files import read_json

FILE = "lane.json"

# scheduler -> (prefix of the directives in its scripts, submit, status, cancel); {id} is the job's number
SCHEDULERS = {
    "SLURM": ("#SBATCH", "sbatch", "squeue -h -j {id} -o %i", "scancel {id}"),
    "LSF": ("#BSUB", "bsub <", "bjobs -noheader -o 'jobid stat' {id}", "bkill {id}"),
    "PBS": ("#PBS", "qsub", "qstat {id}", "qdel {id}"),
    "SGE": ("#$", "qsub", "qstat -u \\*", "qdel {id}"),
}


@dataclass(frozen=True, kw_only=True)
class ClusterLane:
    """How jobs are submitted to a cluster.

    `kind` is cryosparc (a Jinja template) or relion (XXXnameXXX); `template` is the script's file name. `submit`,
    `status` and `cancel` are shell commands in the template's language, `send` wraps each of them (`{{ command }}`).
    `launcher` starts MPI ranks; `variables` are the lab's own.
    """

    kind: str
    name: str
    template: str
    submit: str
    status: str
    cancel: str
    send: str = ""
    launcher: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the text of lane.json."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def read_lane(folder: Path) -> ClusterLane:
    """Return the lane of a profile's folder.

    Raises
    ------
    CryosnakeError
        when lane.json is missing or damaged
    """
    path = folder / FILE
    try:
        return ClusterLane(**read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise CryosnakeError(f"{path}: can't be read ({error}); write the profile again with cryosnake profile "
                             "import") from error


def scheduler_of(script: str) -> str:
    """Return the scheduler whose directives a script has ("SLURM", "PBS", …), "" if none of the known ones."""
    for name, (directive, *_) in SCHEDULERS.items():
        if re.search(rf"^{re.escape(directive)}\s", script, re.MULTILINE):
            return name
    return ""


def without_mpi_launcher(script: str, command: str) -> tuple[str, str]:
    """Remove mpirun, mpiexec or srun in front of a template's command; return (script, launcher).

    A template starts the ranks itself. Here the command is a Snakemake job, which must run once and starts the ranks
    of its program. The number of ranks is removed from the launcher, because the program adds its own.

    Parameters
    ----------
    script
        The template.
    command
        The placeholder of the command in it: `XXXcommandXXX` or a regular expression of `{{ run_cmd }}`.
    """
    launchers = r"(?:\S*/)?(?:mpirun|mpiexec(?:\.\w+)?|srun|aprun|jsrun)\b[^;&|\n]*?"
    pattern = re.compile(rf"(?:^|(?<=[\s;&|]))(?P<launcher>{launchers})(?P<command>{command})", re.MULTILINE)
    match = pattern.search(script)
    launcher = re.sub(r"\s+(?:-n|-np|--ntasks|--n)(?:\s+|=)\S+", "", match["launcher"]).strip() if match else ""
    return pattern.sub(r"\g<command>", script), launcher
