#!/usr/bin/env python3
"""Run a job of type localres; see --help."""

from cryosnake.running.run import run_script

run_script("localres")
