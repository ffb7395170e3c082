"""A Snakemake profile for any cluster whose jobs go through a script template (executor plugin cluster-generic)."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from cryosnake.cluster.lane import FILE, ClusterLane

PROGRAMS = ("submit", "status", "cancel")


def profile_files(lane: ClusterLane, template: str, folder: Path) -> dict[str, str]:
    """Return the profile's files: profile.yaml, the template, lane.json and three small programs."""
    return {"profile.yaml": _profile(lane, folder.absolute()), lane.template: template, FILE: lane.to_json(),
            **{name: _program(name, folder.absolute()) for name in PROGRAMS}}


def _program(action: str, folder: Path) -> str:
    package = Path(__file__).resolve().parent.parent.parent
    return (f"#!/bin/sh\n# written by cryosnake profile import\nPYTHONPATH={shlex.quote(str(package))}"
            f"${{PYTHONPATH:+:$PYTHONPATH}} exec {shlex.quote(sys.executable)} -m cryosnake.cluster.submit {action} "
            f"{shlex.quote(str(folder))} \"$@\"\n")


def _profile(lane: ClusterLane, folder: Path) -> str:
    return f"""\
# The lane {lane.name} of {'cryoSPARC' if lane.kind == 'cryosparc' else 'RELION'}, as `cryosnake profile import` read \
it. Use: snakemake --profile <this folder> -d my_project
# The script is {lane.template}, the commands and the lab's variables are in lane.json: change them there.
# The paths are absolute: after moving this folder, import again. docs/cluster.md explains the rest.
executor: cluster-generic
cluster-generic-submit-cmd: {shlex.quote(str(folder / 'submit'))}
cluster-generic-status-cmd: {shlex.quote(str(folder / 'status'))}
cluster-generic-cancel-cmd: {folder / 'cancel'}
jobs: 100                        # at most this many in the queue at a time
resources:
  gpu: 8                         # at most this many GPUs at a time, one for each job with `device: auto`; 0 for none
retries: 2                       # a job that ran out of memory or time is tried again with twice, three times as much
keep-going: true                 # jobs that do not depend on a failed job continue
latency-wait: 60                 # seconds to wait until a file written on another computer appears
max-status-checks-per-second: 2
rerun-triggers: [mtime, input]
rerun-incomplete: true
scheduler: greedy
printshellcmds: false
show-failed-logs: false
"""
