"""Names of files below a RELION project. Standard library only.

A project moves as a whole, so every path in a STAR file is relative to the project folder, and the products of a
micrograph are named after the part of its path below the job directory (RELION calls it the "post" name).
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from cryosnake.errors import CryosnakeError
from cryosnake.names import is_below, is_listed_name

# RELION treats the first path component that starts with "job" and three digits as a job directory.
# Patterns are compiled when they are used: every plan imports this module.
_JOB_PREFIX = r"^(?:.*?/)?job[0-9]{3}[^/]*/+"
_JOB_FOLDERS = r"(^|/)[^/]+/job[0-9]{3}[^/]*/+"
_NO_DOTS = "MotionCorr"  # of all RELION's jobs, only motion correction writes the dots of a movie's path as _


def post_name(name: str | os.PathLike[str]) -> str:
    """Return the part of a path after the job directory, the whole path when there is none.

    >>> post_name("MotionCorr/job002/Movies/a.mrc")
    'Movies/a.mrc'
    """
    return re.sub(_JOB_PREFIX, "", os.fspath(name))


def usual_name(name: str) -> str:
    """Return the name by which the project in the working directory knows a file, however it was spelt.

    >>> usual_name("./Movies//a.mrc")
    'Movies/a.mrc'
    """
    if not os.path.isabs(name):
        return os.path.normpath(name)
    relative = os.path.relpath(name)
    return os.path.normpath(name) if relative.startswith("..") else relative


def movie_of(name: str) -> str:
    """Return the same text for all micrographs that jobs of one project made of a movie.

    >>> movie_of("sessionA/MotionCorr/job002/Movies/a.mrc")
    'sessionA/Movies/a.mrc'
    """
    return re.sub(_JOB_FOLDERS, r"\1", usual_name(name), count=1)


class MicrographNames:
    """The names of a table's micrographs, to be found by those of another table."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_movie: dict[str, list[str]] = defaultdict(list)
        self._by_post_name: dict[str, set[str]] = defaultdict(set)
        for name in dict.fromkeys(names):
            self._by_movie[movie_of(name)].append(name)
            self._by_post_name[post_name(usual_name(name))].add(movie_of(name))

    def of_movie(self, name: str) -> list[str]:
        """Return the names of the micrographs of the same movie, whichever jobs made them.

        `/data/project/MotionCorr/job002/Movies/a.mrc` is of the same movie as `MotionCorr/job005/Movies/a.mrc` where
        nothing else could be meant.
        """
        movie, post = movie_of(name), post_name(usual_name(name))
        elsewhere = self._by_post_name.get(post, set())
        if movie not in self._by_movie and len(elsewhere) == 1 and post in (movie, *elsewhere):
            (movie,) = elsewhere
        return self._by_movie.get(movie, [])

    def like(self, name: str) -> list[str]:
        """Return the names of the same micrograph, else of those of its movie."""
        found = self.of_movie(name)
        return [other for other in found if usual_name(other) == usual_name(name)] or found


def product_root(job_dir: str, name: str) -> str:
    """Return the path, without extension, below which a job puts its products of one micrograph.

    The leading `<Type>/jobNNN/` of `name` is dropped, its extension too, and the rest is joined to `job_dir`. Below
    MotionCorr the remaining dots become underscores, since RELION writes, and looks for, those names. Text in, text
    out, no checks: a plan calls this for every micrograph.

    >>> product_root("MotionCorr/job002", "Movies/a.tiff")
    'MotionCorr/job002/Movies/a'
    >>> product_root("CtfFind/job003/", "MotionCorr/job002/Movies/a.mrc")
    'CtfFind/job003/Movies/a'
    >>> product_root("MotionCorr/job002", "Movies/a.0.tiff")
    'MotionCorr/job002/Movies/a_0'
    """
    job = job_dir.rstrip("/")
    stem = os.path.splitext(re.sub(_JOB_PREFIX, "", name))[0]
    if "." in stem and os.path.basename(os.path.dirname(job)) == _NO_DOTS:
        stem = stem.replace(".", "_")
    return f"{job}/{stem}"


def micrograph_root(job_dir: str | os.PathLike[str], name: str | os.PathLike[str]) -> Path:
    """Return `product_root` as a path that lies below the job directory.

    Raises
    ------
    CryosnakeError
        When the name is absolute or leads out of the project, or a link in `job_dir` does, so that the products would
        not lie there.
    """
    if is_listed_name(post_name(name)) and not is_below(job_dir, post_name(name)):
        raise CryosnakeError(f"{os.fspath(name)!r}: a link in {job_dir} leads out of it, so that its products would "
                             "not lie there: move the whole job directory to another disk instead, and link it")
    if not is_listed_name(post_name(name)):
        raise CryosnakeError(
            f"{os.fspath(name)!r} does not lie below the project folder: link its folder into the project "
            "(ln -s /where/the/movies/are Movies) and import it by the relative path."
        )
    return Path(product_root(os.fspath(job_dir), str(PurePosixPath(name))))
