"""`python -m cryosnake.running TYPE …`: run a job of any registered type, including those of other packages."""

from __future__ import annotations

import sys

from cryosnake.jobs.registry import job_types
from cryosnake.running.run import run_job


def main(words: list[str]) -> int:
    """Run a job; the first word is its type."""
    types = job_types()
    if not words or words[0] not in types:
        print(f"usage: python -m cryosnake.running TYPE --out DIR …; types: {', '.join(types)}", file=sys.stderr)
        return 2
    return run_job(types[words[0]], words[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
