"""Fixtures that every test may use, and the rule about what must not be skipped.

CRYOSNAKE_REQUIRE is a comma-separated list of `data`, `relion`, `mpi`, `slurm`, `browser`, `gpu`, or `all` (all but
gpu): what is required fails where it is absent, everything else is skipped with its reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
REQUIRED = set(filter(None, os.environ.get("CRYOSNAKE_REQUIRE", "").split(",")))
if "all" in REQUIRED:
    REQUIRED |= {"data", "relion", "mpi", "slurm", "browser"}

AXE = "axe-core@4.14.1"

# Kernels of parallel test workers must not fight for cores.
os.environ.setdefault("RELION_SHELL", "bash")
if hasattr(os, "geteuid") and os.geteuid() == 0:  # containers
    os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")


def _absent(what: str, reason: str) -> None:
    if what in REQUIRED:
        pytest.fail(f"CRYOSNAKE_REQUIRE asks for {what}, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's own folder."""
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data sets: CRYOSNAKE_DATA, or shared/data beside the project."""
    folder = Path(os.environ.get("CRYOSNAKE_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "README.md").exists():
        _absent("data", f"the real data are not at {folder} (set CRYOSNAKE_DATA)")
    return folder


@pytest.fixture(scope="session")
def relion() -> Path:
    """Folder of RELION's programs."""
    program = shutil.which("relion_refine")
    if program is None:
        _absent("relion", "relion_refine is not on the PATH (Debian: apt-get install relion)")
    return Path(str(program)).parent


@pytest.fixture(scope="session")
def mpirun() -> Callable[[int], list[str]]:
    """Command line, up to the program, that runs Python on a number of MPI ranks."""
    if shutil.which("mpirun") is None:
        _absent("mpi", "mpirun is not on the PATH (Debian: apt-get install openmpi-bin)")
    if find_spec("mpi4py") is None:
        _absent("mpi", "mpi4py is not installed (pip install 'cryosnake[mpi]')")
    return lambda ranks: [sys.executable, "-m", "cryosnake.running.launch", str(ranks), "--launcher", "mpirun"]


@pytest.fixture(scope="session")
def slurm() -> Iterator[None]:
    """A SLURM of one node on this machine, started by tests/slurm/cluster.sh if it does not run yet.

    Parallel workers of pytest share one, which must run already: the first to end would stop that of the others.
    """
    if shutil.which("sbatch") is None:
        _absent("slurm", "sbatch is not on the PATH (Debian: apt-get install slurm-wlm munge)")
    if find_spec("snakemake_executor_plugin_slurm") is None:
        _absent("slurm", "the executor plugin is not installed (pip install 'cryosnake[slurm]')")
    if "PYTEST_XDIST_WORKER" in os.environ and subprocess.run(["sinfo"], capture_output=True).returncode:
        _absent("slurm", "SLURM does not run (tests/slurm/cluster.sh start)")
    script = str(ROOT / "tests" / "slurm" / "cluster.sh")
    started = subprocess.run([script, "start"], capture_output=True, text=True)
    if started.returncode:
        _absent("slurm", f"SLURM does not start here: {started.stderr.strip()}")
    yield
    if "runs" not in started.stdout:
        subprocess.run([script, "stop"], check=True, capture_output=True)


@pytest.fixture(scope="session")
def chromedriver() -> str:
    """The program that drives a headless Chromium."""
    driver = shutil.which("chromedriver")
    if driver is None or shutil.which("chromium") is None:
        _absent("browser", "chromium or its driver is not on the PATH (Debian: apt-get install chromium-driver)")
    return str(driver)


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, which judges a page's accessibility: CRYOSNAKE_AXE, or installed once by npm."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cryosnake-tests" / AXE.replace("@", "-")
    script = Path(os.environ.get("CRYOSNAKE_AXE") or cache / "node_modules" / "axe-core" / "axe.min.js")
    if not script.exists() and shutil.which("npm"):
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(cache), AXE], check=False,
                       capture_output=True, timeout=120)
    if not script.exists():
        _absent("browser", f"{AXE} is neither at {script} nor to be had by npm (set CRYOSNAKE_AXE to its axe.min.js)")
    return script.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def gpu() -> object:
    """The cupy module, where a CUDA device is there."""
    try:
        import cupy

        if cupy.cuda.runtime.getDeviceCount() < 1:
            raise RuntimeError("no CUDA device")
    except Exception as error:  # no package, no driver and no device raise different types
        if "gpu" in REQUIRED:
            pytest.fail(f"CRYOSNAKE_REQUIRE asks for gpu: {error}")
        pytest.skip(f"no GPU: {error}")
    return cupy


@pytest.fixture(params=["emulated", pytest.param("device", marks=pytest.mark.gpu)])
def cupy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """CuPy on a GPU, and where a C++ compiler is, the stand-in of tests/emulation."""
    if request.param == "device":
        yield request.getfixturevalue("gpu")
        return
    if shutil.which("g++") is None:
        pytest.skip("emulation of CUDA kernels needs g++")
    from emulation.cupy_like import install

    yield from install(monkeypatch)
