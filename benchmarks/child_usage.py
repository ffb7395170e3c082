#!/usr/bin/env python3
"""Run a command and write its CPU seconds and its peak memory (MB) to a file, as JSON: [seconds, memory].

    python benchmarks/child_usage.py usage.json relion_refine ...

A process of its own, for the kernel counts a parent's memory as its children's until they start their program. Under
mpirun, `{rank}` in the file's name is replaced by the rank.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys


def main() -> int:
    """Run the command; return its exit code."""
    code = subprocess.call(sys.argv[2:], stdout=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(sys.argv[1].format(rank=os.environ.get("OMPI_COMM_WORLD_RANK", "0")), "w") as file:
        json.dump([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024], file)
    return code


if __name__ == "__main__":
    sys.exit(main())
