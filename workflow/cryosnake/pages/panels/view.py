"""A job as its panels see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryosnake.jobs.model import root_name


@dataclass(frozen=True, kw_only=True)
class JobView:
    """A job's directory, and its parameters and inputs by name; empty for jobs of RELION."""

    path: Path
    folder: str
    values: Mapping[str, Any]

    @property
    def root(self) -> str:
        """The start of the names of a refinement's files, with the directory."""
        return f"{self.path}/{root_name(self.values)}"

    def has(self, *names: str) -> bool:
        """Whether all of these files are in its directory."""
        return all((self.path / name).exists() for name in names)

    def last_iteration(self) -> str:
        """Return the start of the file names of its last iteration with a model; "" if there is none."""
        models = sorted(self.path.glob("run*_it[0-9][0-9][0-9]_model.star"))
        return str(models[-1]).removesuffix("_model.star") if models else ""
