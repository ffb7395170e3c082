#!/usr/bin/env python3
"""Run a job of type external; see --help."""

import sys

from cryosnake.jobs.external import JOB
from cryosnake.running.run import run_job

if __name__ == "__main__":
    sys.exit(run_job(JOB))
