"""Job counter of a RELION project, read without parsing the whole pipeline file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.model import job_number

PIPELINE = "default_pipeline.star"


def next_job_number(existing: Iterable[str]) -> int:
    """Return the number of the next job: the pipeline's counter, or more, above every existing directory."""
    return max([_counter(), *((job_number(path) or 0) + 1 for path in existing)])


def _counter() -> int:
    try:
        with open(Path(PIPELINE)) as lines:
            for line in lines:
                if line.startswith("_rlnPipeLineJobCounter"):
                    return max(1, int(line.split()[1]))
    except FileNotFoundError:
        return 1
    except (ValueError, IndexError) as error:
        raise CryosnakeError(f"{PIPELINE}: the job counter can't be read; `cryosnake rebuild-pipeline` writes the file "
                             "again from the job directories") from error
    return 1
