"""Which programs made a project, and which made the report."""

from __future__ import annotations

import importlib.metadata
import platform
from collections import Counter
from collections.abc import Iterable

from cryosnake import __version__
from cryosnake.pages.facts.jobs import JobFacts

_PACKAGES = ("snakemake", "numpy", "scipy", "numba")


def versions(jobs: Iterable[JobFacts]) -> list[tuple[str, str]]:
    """Return what to name: the versions that made the jobs, and those that are installed where this is written."""
    made = Counter(f"cryosnake {job.record.version}" if job.record else "RELION, or another program" for job in jobs)
    hosts = sorted({run.host for job in jobs for run in job.runs})
    found = [("jobs made by", ", ".join(f"{name} ({count})" for name, count in made.most_common()) or "none yet")]
    if hosts:
        found.append(("computers", ", ".join(hosts[:8]) + (f" and {len(hosts) - 8} more" if len(hosts) > 8 else "")))
    here = [f"cryosnake {__version__}", f"Python {platform.python_version()}", *filter(None, map(_version, _PACKAGES))]
    return [*found, ("report written with", ", ".join(here))]


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return ""
