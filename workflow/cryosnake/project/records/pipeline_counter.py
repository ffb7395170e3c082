"""Job counter of a RELION project, read without parsing the whole pipeline file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.names import PIPELINE_FILE
from cryosnake.pipeline.model import job_number


def next_job_number(existing: Iterable[str]) -> int:
    """Return the number of the next job: the pipeline's counter, or more, above every existing directory."""
    return max([_counter(), *((job_number(path) or 0) + 1 for path in existing)])


def _counter() -> int:
    try:
        with open(Path(PIPELINE_FILE)) as lines:
            for line in lines:
                if line.startswith("_rlnPipeLineJobCounter"):
                    return max(1, int(line.split()[1]))
    except FileNotFoundError:
        from cryosnake.pipeline.rebuild import highest_number  # imported here: only a new project needs it

        return highest_number(Path()) + 1
    except (ValueError, IndexError) as error:
        raise CryosnakeError(f"{PIPELINE_FILE}: the job counter can't be read; `cryosnake rebuild-pipeline` writes the "
                             "file again from the job directories") from error
    return 1
