"""Jobs that are marked as final: their results are what the project was made for, and no clean-up may take them.

RELION knows no such mark. It is a file in the job's directory, so that it survives RELION and goes where the job goes.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryosnake.io.atomic import replacing

FILE = ".cryosnake_final"


def is_final(job_dir: str | os.PathLike[str]) -> bool:
    """Say whether a job directory is marked as final."""
    return os.path.exists(os.path.join(job_dir, FILE))


def set_final(job_dir: str | os.PathLike[str], final: bool) -> None:
    """Mark a job directory as final, or take the mark away."""
    path = Path(job_dir, FILE)
    if not final:
        path.unlink(missing_ok=True)
    elif not path.exists():
        with replacing(path) as temporary:
            temporary.touch()
