"""`cryosnake doctor`: what is installed here, and what is missing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from cryosnake import __version__
from cryosnake.cli.commands import Arguments, Commands, add_command
from cryosnake.installation import NO_KERNEL_FOLDER, PACKAGE, workflow_folder
from cryosnake.parallel.gpus import visible_gpus

# asked in processes of their own, because libraries that do not fit the computer may end the one that loads them
_GPUS = """
import cupy
for number in range(cupy.cuda.runtime.getDeviceCount()):
    of = cupy.cuda.runtime.getDeviceProperties(number)
    print(f"{of['name'].decode()}, {of['totalGlobalMem'] / 2**30:.0f} GiB")
"""
_MPI = "from mpi4py import MPI; print(MPI.Get_library_version().splitlines()[0].strip(chr(0)))"
_KERNELS = "from cryosnake.numerics.projection import cell_positions; print(cell_positions.stats.cache_path)"


class Finding(NamedTuple):
    """One line; with a `remedy` something is missing, and without it nothing runs where it is `needed`."""

    name: str
    value: str
    remedy: str = ""
    needed: bool = False


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    add_command(commands, "doctor", _doctor, help="say versions, devices, MPI and kernel caches, and what is missing",
                description="Says what is installed here and what is missing. Please add its output to every report "
                "of a problem. The exit code is 1 if something is missing without which nothing runs.")


def _doctor(_: Arguments) -> int:
    findings = list(_findings())
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{finding.name:{width}}  {finding.value}")
    remedies = [finding for finding in findings if finding.remedy]
    print("", *(f"{one.name}: {one.remedy}" for one in remedies) if remedies else ("nothing is missing",), sep="\n")
    return int(any(finding.needed for finding in remedies))


def _findings() -> Iterator[Finding]:
    yield Finding("cryosnake", f"{__version__}, {PACKAGE}")
    files = workflow_folder()
    absent = [name for name in ("Snakefile", "rules", "scripts", "profiles") if not (files / name).exists()]
    yield Finding("workflow", str(files), f"{', '.join(absent)} is not there; install again: pip install "
                  "--force-reinstall --no-deps cryosnake-*.whl" * bool(absent), needed=True)
    yield Finding("Python", f"{platform.python_version()}, {sys.executable}")
    yield Finding("system", f"{platform.platform()}, {len(os.sched_getaffinity(0))} cores")
    yield from _packages()
    yield from _devices()
    yield _mpi()
    yield _kernels()
    slurm = shutil.which("sbatch")
    plugin = find_spec("snakemake_executor_plugin_slurm")
    yield Finding("SLURM", slurm or "no", "pip install 'cryosnake[slurm]'" if slurm and not plugin else "")


def _packages() -> Iterator[Finding]:
    """Yield what is required, and what extras bring where it is installed."""
    try:
        lines = metadata.requires("cryosnake") or []
    except metadata.PackageNotFoundError:
        yield Finding("packages", "unknown", "cryosnake is not installed in this Python, only found by its path")
        return
    for requirement in map(Requirement, lines):
        extra = next((word for word in ("dev", "cuda12", "cuda13", "mpi", "slurm", "cluster")
                      if requirement.marker and requirement.marker.evaluate({"extra": word})), "")
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            if not extra:
                yield Finding(requirement.name, "missing", f"pip install '{requirement}'", needed=True)
            continue
        if extra != "dev":
            fits = requirement.specifier.contains(version, prereleases=True)
            yield Finding(requirement.name, version, "" if fits else f"must be {requirement.specifier}: pip install "
                          f"'{requirement.name}{requirement.specifier}'", needed=not extra)


def _devices() -> Iterator[Finding]:
    here = visible_gpus()
    if not here:
        yield Finding("GPU", "none; everything runs on the CPU")
        return
    answer, error = _asked(_GPUS)
    yield Finding("GPU", answer or f"{len(here)}, not usable: {error}", "" if answer else "pip install "
                  "'cryosnake[cuda12]' (or cuda13, as nvidia-smi says); jobs with `device: auto` use the CPU")


def _mpi() -> Finding:
    launcher = shutil.which("mpirun")
    answer, error = _asked(_MPI)
    missing = "pip install 'cryosnake[mpi]'; " * ("No module" in error) + "apt-get install openmpi-bin" * (not launcher)
    return Finding("MPI", f"{answer or f'no ({error})'}; mpirun: {launcher or 'no'}",
                   f"only for `mpi_ranks`: {missing.removesuffix('; ') or error}" if error or not launcher else "")


def _kernels() -> Finding:
    """Return where numba keeps compiled kernels; the first job of each type compiles them, about a minute in all."""
    answer, error = _asked(_KERNELS)
    if not answer:
        return Finding("kernels", error, NO_KERNEL_FOLDER, needed=True)
    inside = Path(answer).is_relative_to(PACKAGE)
    count = sum(1 for _ in (PACKAGE if inside else Path(answer).parent).rglob("*.nbc"))
    return Finding("kernels", f"{count} compiled, kept in {PACKAGE if inside else Path(answer).parent}")


def _asked(code: str) -> tuple[str, str]:
    """Return what a small program prints in one line, and the last line of its error."""
    try:
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return "", "no answer within two minutes"
    if result.returncode:
        return "", (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]
    return "; ".join(result.stdout.split("\n")).strip("; "), ""
