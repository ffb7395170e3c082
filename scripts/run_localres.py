#!/usr/bin/env python3
"""Run a job of type localres; see --help."""

import sys

from cryosnake.jobs.localres import JOB
from cryosnake.running.run import run_job

if __name__ == "__main__":
    sys.exit(run_job(JOB))
