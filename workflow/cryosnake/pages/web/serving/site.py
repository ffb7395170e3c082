"""What the pages of one server share: its projects, what was read of them, and how pages are made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryosnake import __version__
from cryosnake.pages.document import templates
from cryosnake.pages.web.reading.changes import Changes
from cryosnake.pages.web.reading.files import NoSuchFileError
from cryosnake.pages.web.reading.images import Images
from cryosnake.pages.web.reading.projects import Project, projects_below
from cryosnake.pages.web.reading.remembered import Remembered
from cryosnake.pages.web.reading.tables import Tables
from cryosnake.pages.web.serving.guard import Access


class ShownProject:
    """One project that is shown."""

    def __init__(self, project: Project, access: Access) -> None:
        self.project, self._access = project, access
        self.remembered, self.changes = Remembered(), Changes(project.root)

    def address(self, kind: str, name: str = "") -> str:
        """Return the address of a page about a file or job of the project."""
        return f"{self._access.base}/p/{self.project.key}/{kind}{'/' if name else ''}{quote(name.rstrip('/'))}"

    @cached_property
    def _templates(self) -> Any:
        return templates(lambda name: self.address("job", name))

    def page(self, template: str, **content: Any) -> str:
        """Return a page about the project."""
        text: str = self._templates.get_template(f"web/{template}").render(
            base=self._access.base, edit=self._access.edit, version=__version__, shown=self.project, at=self.address,
            **content)
        return text


class Site:
    """The server's projects, images and tables."""

    def __init__(self, roots: Sequence[Path], access: Access) -> None:
        self.access, self.roots = access, [root.resolve() for root in roots]
        self.images, self.tables = Images(), Tables()
        self._listed: dict[str, Project] = {}
        self._opened: dict[str, ShownProject] = {}

    def projects(self) -> list[Project]:
        """Return what is there now."""
        found = projects_below(self.roots)
        self._listed = {project.key: project for project in found}
        return found

    def project(self, key: str) -> ShownProject:
        """Return a project by the word in its address.

        Raises
        ------
        NoSuchFileError
            where no project below the roots has it
        """
        if key not in self._opened:
            if key not in self._listed:  # only then all folders are looked at: one of them may be on a slow disk
                self.projects()
            if key not in self._listed:
                raise NoSuchFileError(f"There is no project {key} below the folders that this server was started with.")
            self._opened[key] = ShownProject(self._listed[key], self.access)
        return self._opened[key]

    def page(self, template: str, **content: Any) -> str:
        """Return a page about no project in particular."""
        text: str = templates(str).get_template(f"web/{template}").render(
            base=self.access.base, edit=self.access.edit, version=__version__, shown=None, at=None, **content)
        return text
