"""Where the workflow's files are, and how Snakemake is called on them. Standard library only.

They are at the top of the repository; in an installed package, the build has put them beside this file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryosnake.errors import CryosnakeError

PACKAGE = Path(__file__).resolve().parent
SNAKEFILES = ("Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile")  # where Snakemake looks
PROFILE = Path("profiles", "default")  # Snakemake takes it from the working directory, or from beside the Snakefile
_CORES = {"-c", "--cores", "-j", "--jobs", "--profile", "--workflow-profile"}  # each says how many, or may do so
NO_KERNEL_FOLDER = (f"compiled kernels can't be kept: neither {PACKAGE} nor ~/.cache/numba can be written to. Name a "
                    "folder that can, for example: export NUMBA_CACHE_DIR=/scratch/$USER/numba")


def workflow_folder() -> Path:
    """Return the folder of Snakefile, config.yaml, rules/, scripts/, profiles/, envs/ and examples/."""
    installed = PACKAGE / "workflow"
    return installed if installed.is_dir() else PACKAGE.parents[1]


def snakefile() -> str:
    """Return the path of the workflow's Snakefile; a project's own Snakefile includes it."""
    return str(workflow_folder() / "Snakefile")


def snakemake_command(words: Sequence[str], folder: Path = Path(), cores: int | str = "all") -> list[str]:
    """Return the command line that runs Snakemake on a project.

    Parameters
    ----------
    words
        Snakemake's arguments; a Snakefile, profile and number of cores that they name are not named again.
    folder
        The project; its own Snakefile and profile are preferred to ours.
    cores
        For `words` that do not say it.
    """
    named = {word.partition("=")[0] for word in words}
    ours: list[str] = []
    own = next((folder / name for name in SNAKEFILES if (folder / name).exists()), None)
    profiled = own is None or any((place / PROFILE).exists() for place in (Path(), own.parent))
    if not named & {"-s", "--snakefile"}:
        ours += ["--snakefile", str(own or snakefile())]
    if not profiled and "--workflow-profile" not in named:
        ours += ["--workflow-profile", str(workflow_folder() / PROFILE)]
    if not named & _CORES and not any(word.startswith(("-c", "-j")) for word in words):
        ours += ["--cores", str(cores)]
    return [sys.executable, "-m", "snakemake", *ours, *words]


@contextmanager
def kept_kernels() -> Iterator[None]:
    """Say what to do where numba finds no folder that it may write compiled kernels to.

    It tries the package's own folder, then one in the home directory.
    """
    try:
        yield
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        raise CryosnakeError(NO_KERNEL_FOLDER) from None
