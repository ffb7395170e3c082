"""Jobs marked as final: results that cryosnake never deletes or cleans, and whose ancestors it keeps with them."""

from __future__ import annotations

import os
from pathlib import Path

from cryosnake.atomic import touch

FINAL_FILE = ".cryosnake_final"


def is_final(job_dir: str | os.PathLike[str]) -> bool:
    """Say whether a job directory is marked as final."""
    return Path(job_dir, FINAL_FILE).exists()


def set_final(job_dir: str | os.PathLike[str], final: bool = True) -> None:
    """Mark a job directory as final, or remove the mark."""
    if final:
        touch(Path(job_dir, FINAL_FILE))
    else:
        Path(job_dir, FINAL_FILE).unlink(missing_ok=True)
