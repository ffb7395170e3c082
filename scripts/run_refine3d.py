#!/usr/bin/env python3
"""Run a job of type refine3d; see --help."""

from cryosnake.running.run import run_script

run_script("refine3d")
