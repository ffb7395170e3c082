"""Hard links to the results of a job, kept until the run of Snakemake that makes it has finished.

After a kill Snakemake removes the results of the jobs that it had started, though the program may have made them all: a
last iteration would be computed again. Hard links below the job directory restore the files as they were.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryosnake.atomic import touch, write_text
from cryosnake.names import is_below
from cryosnake.processes import text_of
from cryosnake.project.records.disk import KEPT_RESULTS
from cryosnake.project.records.freshness import newest

_MADE_BY, _COMPLETE = "made_by.json", "complete"


def made_by(options: Mapping[str, Any], inputs: Mapping[str, Path]) -> str:
    """Return the options and inputs of a job as text: different ones give different results."""
    return json.dumps([dict(options), {name: str(path) for name, path in inputs.items()}], sort_keys=True, default=str)


def keep_results(out: Path, files: Iterable[Path], maker: str, complete: bool = False) -> None:
    """Make hard links to files below a job directory; with `complete`, they are all that the program makes.

    On a file system without hard links nothing is kept: after a kill the results are computed again.
    """
    folder = out / KEPT_RESULTS
    with suppress(OSError):
        if folder.is_symlink():  # not made here
            folder.unlink()
        folder.mkdir(exist_ok=True)
        write_text(folder / _MADE_BY, maker)
        for file in sorted(files, key=_optimiser_last):
            link = folder / "files" / file.relative_to(out)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            os.link(file, link)
        if complete:
            touch(folder / _COMPLETE)


def restore_results(out: Path, maker: str, inputs: Iterable[Path]) -> bool:
    """Restore kept results that no longer exist; return whether they are all that the program makes.

    Results of other options, or older than an input, are dropped.
    """
    folder = out / KEPT_RESULTS
    kept = [path for path in (folder / "files").rglob("*") if path.is_file()]
    made_after = newest(inputs, str(out))
    if not kept or text_of(folder / _MADE_BY) != maker or any(path.stat().st_mtime_ns < made_after for path in kept):
        drop_results(out)
        return False
    for path in sorted(kept, key=_optimiser_last):
        place = out / path.relative_to(folder / "files")
        if not place.exists() and is_below(out, str(place.relative_to(out))):
            os.link(path, place)
    return (folder / _COMPLETE).exists()


def drop_results(out: Path) -> None:
    """Remove the hard links to a job's results."""
    shutil.rmtree(out / KEPT_RESULTS, ignore_errors=True)


def _optimiser_last(path: Path) -> bool:
    """Sort key that puts the file last whose existence says that its iteration is complete."""
    return path.name.endswith("_optimiser.star")
