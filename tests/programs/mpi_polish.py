"""Polish on several ranks: `mpirun -n N python mpi_polish.py JOB` in a project folder of polish_project.py."""

from __future__ import annotations

import sys

from polish_project import nothing

from cryosnake.jobs.options import PolishOptions
from cryosnake.programs.polish import polish

if __name__ == "__main__":
    polish.run(PolishOptions(device="cpu"), {"particles": "particles.star", "postprocess": "postprocess.star",
                                             "micrographs": "corrected_micrographs.star"}, sys.argv[1], nothing)
