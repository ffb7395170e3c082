"""A job as its panels see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryosnake.errors import CryosnakeError
from cryosnake.io.star import read_star
from cryosnake.jobs.model import root_name

if TYPE_CHECKING:
    import pandas as pd


def table_of(path: str | Path, block: str) -> pd.DataFrame:
    """Return a table of a file; see `JobView.table`."""
    tables = read_star(path)
    if block not in tables and "" not in tables:
        raise CryosnakeError(f"{path}: there is no table {block}")
    return tables[block if block in tables else ""]


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

    def table(self, name: str, block: str) -> pd.DataFrame:
        """Return a table of one of its files; those of RELION before 3.1 have one without a name.

        Raises
        ------
        CryosnakeError
            where there is no such table, or the file can't be read
        """
        return table_of(self.path / name, block)

    def last_iteration(self) -> str:
        """Return the start of the file names of its last iteration with a model; "" if there is none."""
        models = sorted(self.path.glob("run*_it[0-9][0-9][0-9]_model.star"))
        return str(models[-1]).removesuffix("_model.star") if models else ""
