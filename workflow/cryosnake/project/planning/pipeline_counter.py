"""Job counter of a RELION project, read without parsing the whole pipeline file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cryosnake.names import PIPELINE_FILE
from cryosnake.pipeline.model import job_number


def next_job_number(existing: Iterable[str]) -> int:
    """Return the number of the next job: the pipeline's counter, or more, above every existing directory."""
    return max([_counter(), *((job_number(path) or 0) + 1 for path in existing)])


def _counter() -> int:
    try:
        with open(PIPELINE_FILE, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        from cryosnake.pipeline.rebuild import highest_number  # imported here: only a new project needs it

        return highest_number(Path()) + 1
    word = text.partition(b"\n_rlnPipeLineJobCounter")[2].split(maxsplit=1)[:1]
    if text.endswith(b"\n") and word and word[0].isdigit():
        return max(1, int(word[0]))
    from cryosnake.pipeline.recover import recovered  # imported here: a power cut has cut the file off

    return recovered(".").counter
