"""The projects that are shown: those below the folders given at the start."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cryosnake.errors import CryosnakeError
from cryosnake.names import PIPELINE_FILE, is_job_name
from cryosnake.pages.web.reading.working_directory import working_directory

_MOST_LISTED = 2000


@dataclass(frozen=True)
class Project:
    """A project's folder, and the word that stands for it in addresses."""

    key: str
    root: Path

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.root.name


def projects_below(roots: Sequence[Path]) -> list[Project]:
    """Return the projects among some folders and the folders in them, in the order of their names."""
    found: dict[Path, Project] = {}
    for root in roots:
        for folder in (root, *_folders(root)):
            if is_project(folder):
                real = folder.resolve()
                found.setdefault(real, Project(_key(real), real))
    return sorted(found.values(), key=lambda project: (project.name.lower(), str(project.root)))


def is_project(folder: Path) -> bool:
    """Whether a folder holds a pipeline of RELION or of ours, or the config of one that has not run."""
    if (folder / PIPELINE_FILE).is_file():
        return True
    try:
        with open(folder / "config.yaml", encoding="utf-8") as file:
            return any(line.startswith("jobs:") for line in file)
    except (OSError, UnicodeError):
        return False


def address_of_file(path: Path) -> tuple[Path, str]:
    """Return the folder of the project that a file is in, and the address of the file's page.

    Raises
    ------
    CryosnakeError
        where there is no such file, or it is in no project
    """
    if not path.is_file():
        raise CryosnakeError(f"{path}: there is no such file")
    placed = path.parent.resolve() / path.name  # a link to a raw movie is shown where the link is
    folder = next((folder for folder in placed.parents if is_project(folder)
                   and not is_job_name(f"{folder.parent.name}/{folder.name}/")), None)  # jobs have copies of pipelines
    if folder is None:
        raise CryosnakeError(f"{path} is in no project: neither its folder nor one above it has a {PIPELINE_FILE} or a "
                             "config.yaml with jobs")
    return folder, f"p/{_key(folder)}/view/{quote(str(placed.relative_to(folder)))}"


def working_in(project: Project) -> AbstractContextManager[None]:
    """Return the context in which a project's files are read, in its folder; see `working_directory`."""
    return working_directory(project.root)


def _folders(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []
    return [root / name for name in names[:_MOST_LISTED]]


def _key(root: Path) -> str:
    """Return a word that stays the same between starts, and tells two folders of one name apart."""
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:6]
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', root.name).lstrip('.') or 'project'}-{digest}"
