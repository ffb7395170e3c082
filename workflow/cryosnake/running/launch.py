"""`python -m cryosnake.running.launch N [--launcher COMMAND] PROGRAM …`: run a job's program on N MPI ranks.

The launcher is `srun` inside a SLURM job and `mpirun` elsewhere, unless CRYOSNAKE_MPI_LAUNCHER names another one. Ranks
are not bound to cores, because each has threads of its own, and Snakemake has already counted the cores.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from importlib.util import find_spec

from cryosnake.errors import CryosnakeError

# For Open MPI 4 and 5 (PRRTE), and their srun; mpirun of other libraries binds nothing by default, and ignores these.
UNBOUND = {
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_odls_base_sigkill_timeout": "10",  # seconds that a terminated job has to put its files in order
    "OMPI_MCA_orte_execute_quiet": "1",  # rank 0 says what went wrong
    "PRTE_MCA_hwloc_default_binding_policy": "none",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "SLURM_MPI_TYPE": "pmix",
}


def command(ranks: int, launcher: str, program: list[str], environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the command line that starts a Python program on this many ranks.

    Raises
    ------
    CryosnakeError
        when mpi4py or the launcher is missing
    """
    if find_spec("mpi4py") is None:
        raise CryosnakeError(f"mpi_ranks is {ranks}, but mpi4py is not installed: pip install 'cryosnake[mpi]', or set "
                             "mpi_ranks: 1 and more threads.")
    words = (shlex.split(launcher or environment.get("CRYOSNAKE_MPI_LAUNCHER", ""))
             or (["srun"] if "SLURM_JOB_ID" in environment else ["mpirun"]))
    if shutil.which(words[0]) is None:
        raise CryosnakeError(f"mpi_ranks is {ranks}, but there is no {words[0]} on the PATH. Install an MPI library "
                             "(Debian: openmpi-bin; clusters: module load openmpi), name another program "
                             "(mpi_launcher), or set mpi_ranks: 1 and more threads.")
    cores = []
    if words[0] == "srun" and "--threads" in program:  # srun's default is one core for each task
        cores = ["-c", program[program.index("--threads") + 1]]
    return [*words, "-n", str(ranks), *cores, sys.executable, *program]


def main(words: list[str]) -> int:
    """Replace this process by the launcher."""
    launcher = ""
    if len(words) > 2 and words[1] == "--launcher":
        launcher = words[2]
        words = [words[0], *words[3:]]
    if len(words) < 2 or not words[0].isdecimal():
        print("usage: python -m cryosnake.running.launch N [--launcher COMMAND] PROGRAM …", file=sys.stderr)
        return 2
    try:
        line = command(int(words[0]), launcher, words[1:])
    except CryosnakeError as error:
        print(error, file=sys.stderr)
        return 1
    os.environ.update({name: value for name, value in UNBOUND.items() if name not in os.environ})
    os.execvp(line[0], line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
