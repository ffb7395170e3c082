#!/usr/bin/env python3
"""Run a job of type manualpick; see --help."""

from cryosnake.running.run import run_script

run_script("manualpick")
