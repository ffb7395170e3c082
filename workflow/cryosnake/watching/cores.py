"""Cores for two calls of Snakemake side by side: together no more than the user gave one call."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

_OPTIONS = (("-c", "--cores"), ("-j", "--jobs"), ("-e", "--executor"), ("--profile", "--workflow-profile"))
_PLACES = ("~/.config/snakemake", "/etc/xdg/snakemake")


def given_cores(words: Sequence[str]) -> int | None:
    """Return the cores of this computer that Snakemake's arguments give its jobs, None when it submits them."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for names in _OPTIONS:
        parser.add_argument(*names, nargs="?", const="")
    stated = vars(parser.parse_known_args(words)[0])
    profiles = [stated.get("profile") or os.environ.get("SNAKEMAKE_PROFILE", ""), "profiles/default"]
    for profile in filter(None, profiles):
        stated = {**_profile(profile), **stated}
    if stated.get("executor", "local") != "local":
        return None
    cores = str(stated.get("cores") or stated.get("jobs") or "all")
    return int(cores) if cores.isdigit() and int(cores) else len(os.sched_getaffinity(0))


def shared_cores(total: int, kept: int) -> tuple[int, int]:
    """Return the cores for micrographs and for long jobs while both run.

    `kept` are the cores to keep for micrographs. Each gets at least one: a single core is shared.
    """
    micrographs = max(1, min(kept, total - 1))
    return micrographs, max(1, total - micrographs)


def _profile(name: str) -> Mapping[str, Any]:
    """Return the settings of a profile, empty when it can't be read: Snakemake then says why."""
    for folder in (Path(name), *(Path(place, name).expanduser() for place in _PLACES)):
        for path in (*sorted(folder.glob("profile*.yaml")), *sorted(folder.glob("config*.yaml"))):
            try:
                found = yaml.safe_load(path.read_text())
            except (OSError, yaml.YAMLError):
                continue
            return found if isinstance(found, dict) else {}
    return {}
