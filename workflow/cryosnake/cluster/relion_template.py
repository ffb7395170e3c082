"""A submission script of RELION, with variables between XXX: XXXmpinodesXXX, XXXcommandXXX."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryosnake.cluster.lane import SCHEDULERS, ClusterLane, scheduler_of, without_mpi_launcher
from cryosnake.errors import CryosnakeError

COMMAND = "XXXcommandXXX"
KNOWN = ("command", "name", "errfile", "outfile", "mpinodes", "threads", "cores", "dedicated", "nodes",
         "mem_mb", "runtime")  # the last two are not RELION's: what a job requests, in MB and minutes
_VARIABLE = re.compile(r"XXX(\w+?)XXX")


def read_relion_template(path: Path, variables: Mapping[str, str],
                         commands: Mapping[str, str]) -> tuple[ClusterLane, str]:
    """Return the lane and the script template, as `cryosnake profile import` keeps them.

    Parameters
    ----------
    path
        The script (RELION_QSUB_TEMPLATE).
    variables
        Values of queue, dedicated (minimum cores of a node, 1 if not set) and the lab's own (extra1, extra2, …).
    commands
        submit, status and cancel, where they differ from those of the scheduler whose directives the script has.

    Raises
    ------
    CryosnakeError
        for an unreadable file, one without XXXcommandXXX, an unknown scheduler, a variable without a value
    """
    try:
        script = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CryosnakeError(f"{path}: can't be read as a script ({error})") from error
    if COMMAND not in script:
        raise CryosnakeError(f"{path}: has no {COMMAND}, so it is not a submission script of RELION, or would run "
                             "nothing")
    scheduler = scheduler_of(script)
    if not scheduler and not {"submit", "status", "cancel"} <= commands.keys():
        raise CryosnakeError(f"{path}: has no directives of a known scheduler ({', '.join(SCHEDULERS)}); name the "
                             "commands: --submit 'sbatch' --status 'squeue -h -j {id} -o %i' --cancel 'scancel {id}'")
    _, submit, status, cancel = SCHEDULERS.get(scheduler, ("", "", "", ""))
    template, launcher = without_mpi_launcher(script, COMMAND)
    own = {"dedicated": "1", **variables}
    missing = set(_VARIABLE.findall(template)) - {*KNOWN, *own}
    if missing:
        raise CryosnakeError(f"{path}: no value for {', '.join(f'XXX{name}XXX' for name in sorted(missing))}; RELION's "
                             f"window asks for them: {' '.join(f'--set {name}=…' for name in sorted(missing))}")
    return ClusterLane(kind="relion", name=path.stem, template="qsub.sh", submit=commands.get("submit", submit),
                status=commands.get("status", status), cancel=commands.get("cancel", cancel), variables=own,
                launcher=launcher), template


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return a template with its variables filled in; those without a value stay, as in RELION."""
    return _VARIABLE.sub(lambda found: str(values.get(found[1], found[0])), template)
