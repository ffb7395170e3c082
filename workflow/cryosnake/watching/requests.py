"""Requests to retry failed micrographs while a run is in progress: the watcher carries them out after the round."""

from __future__ import annotations

import json
import os
from pathlib import Path

from cryosnake.atomic import write_text
from cryosnake.errors import CryosnakeError
from cryosnake.json_files import read_json
from cryosnake.project.actions.retry import retry_failed

REQUESTS = Path(".cryosnake", "retry")


def ask_for_retry(job: str, *, rejected: bool) -> None:
    """Leave a request for the watcher."""
    REQUESTS.mkdir(parents=True, exist_ok=True)
    write_text(REQUESTS / f"{os.urandom(6).hex()}.json", json.dumps({"job": job, "rejected": rejected}))


def obey_requests(*, beside_long_jobs: bool = False) -> list[str]:
    """Carry out the requests to retry; return a line about each.

    `beside_long_jobs` says that the running jobs do not use the batches of micrographs.
    """
    lines = []
    for path in sorted(REQUESTS.glob("*.json")):
        try:
            request = read_json(path)
            names = retry_failed(str(request["job"]), rejected=request["rejected"], beside_long_jobs=beside_long_jobs)
            lines.append(f"{request['job']}: {len(names)} micrographs are processed again on request")
        except CryosnakeError as error:
            lines.append(f"request to retry: {error}")
        except OSError as error:
            lines.append(f"request to retry: {error}; will be tried again")
            continue
        except (ValueError, KeyError, TypeError) as error:
            lines.append(f"{path}: not a request ({error})")
        path.unlink(missing_ok=True)
    return lines
