#!/usr/bin/env python3
"""Run a job of type class2d; see --help."""

from cryosnake.running.run import run_script

run_script("class2d")
