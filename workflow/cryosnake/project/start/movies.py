"""The movies below a folder: which files they are, the pattern that matches them, and what their headers say."""

from __future__ import annotations

import glob
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from cryosnake.errors import CryosnakeError
from cryosnake.io.completeness import EER_NAMES, MRC_NAMES, TIFF_NAMES
from cryosnake.io.movies import MovieInfo, movie_info
from cryosnake.io.recorded_pixel_size import recorded_pixel_size
from cryosnake.pipeline.types import PROCESS_TYPES
from cryosnake.project.records.movies import matching_files

MOVIE_NAMES = (*MRC_NAMES, *TIFF_NAMES, *EER_NAMES)
GAIN_NAME = re.compile(r"gain|(count|super)ref|(^|[_.-])ref([_.-]|$)", re.IGNORECASE)
_NOT_ENTERED = {"Trash", *(kind.folder for kind in PROCESS_TYPES)}
_TRIES = 3  # files of one kind of name that are opened until one is complete


@dataclass(frozen=True, kw_only=True)
class FoundMovies:
    """Movies of one format, and what the header of the first complete one says; `pixel_size` in Å."""

    pattern: str
    count: int
    first: str = ""
    info: MovieInfo | None = None
    pixel_size: float | None = None

    def summary(self) -> str:
        """Return a line about them."""
        if self.info is None:
            return f"{self.pattern}: no movies so far"
        format_name = self.info.kind.upper()
        return (f"{self.count} movies, {self.pattern}: {format_name}, {self.info.frames} frames of {self.info.width} x "
                f"{self.info.height} pixels")


def files_below(suffixes: Sequence[str]) -> Iterator[str]:
    """Yield the files below the working directory with such names, but not those in hidden folders and in jobs.

    Linked folders are entered once.
    """
    seen: set[str] = set()
    for folder, folders, names in os.walk(".", followlinks=True):
        seen.add(os.path.realpath(folder))
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _NOT_ENTERED
                            and os.path.realpath(os.path.join(folder, name)) not in seen)
        for name in names:
            if name.lower().endswith(tuple(suffixes)) and not name.startswith("."):
                yield os.path.normpath(os.path.join(folder, name))


def movies_of(pattern: str) -> FoundMovies:
    """Return the movies that match a pattern, which may be none yet."""
    return _described(pattern, list(matching_files(pattern)))


def find_movies() -> FoundMovies:
    """Return the movies below the working directory: files with several frames, of the format with most of them.

    Raises
    ------
    CryosnakeError
        when there are none, or when no pattern tells them from other files
    """
    kinds: dict[str, list[str]] = defaultdict(list)  # by the file's name without its numbers
    for path in files_below(MOVIE_NAMES):
        if not GAIN_NAME.search(os.path.basename(path)):
            kinds[re.sub(r"\d+", "0", os.path.basename(path))].append(path)
    movies: dict[str, list[str]] = defaultdict(list)  # by extension
    images = 0
    for files in kinds.values():
        info = _first_complete(files)[1]
        if info and info.frames == 1:
            images += len(files)
        elif info and (info.frames, info.height) != (info.width, info.width):  # a cube is a map
            movies[os.path.splitext(files[0])[1]] += files
    if not movies:
        single = f" {images} images have one frame; examples/micrographs.yaml starts from such." if images else ""
        raise CryosnakeError(f"there are no movies below {os.getcwd()}: files of several frames, named "
                             f"{' '.join(MOVIE_NAMES)}.{single} Link their folder here (ln -s /data/session Movies), "
                             "or give the pattern of movies that will arrive: --movies 'Movies/*.tiff'")
    files = max(movies.values(), key=len)
    return _described(_pattern_of(files), files)


def _described(pattern: str, files: Sequence[str]) -> FoundMovies:
    first, info = _first_complete(files)
    return FoundMovies(pattern=pattern, count=len(files), first=first, info=info,
                       pixel_size=recorded_pixel_size(first) if info else None)


def _first_complete(files: Sequence[str]) -> tuple[str, MovieInfo | None]:
    for path in files[:_TRIES]:
        try:
            return path, movie_info(path)
        except CryosnakeError:
            continue  # it is still being written
    return "", None


def _pattern_of(files: Collection[str]) -> str:
    """Return the shortest pattern that matches these files and no others."""
    folder = _folder_pattern({os.path.dirname(path) for path in files})
    names = [os.path.basename(path) for path in files]
    prefix = re.split(r"\d", _common_start(names))[0]  # numbers change with the movies to come
    suffix = re.split(r"\d", _common_start([name[::-1] for name in names]))[0][::-1]
    extension = os.path.splitext(names[0])[1]
    for name in (f"*{extension}", f"*{glob.escape(suffix)}", f"{glob.escape(prefix)}*{glob.escape(suffix)}"):
        pattern = os.path.join(folder, name)
        if set(matching_files(pattern)) == set(files):
            return pattern
    raise CryosnakeError(f"no simple pattern matches the {len(files)} movies in {folder or 'this folder'} and nothing "
                         "else; give one: --movies 'Movies/*_fractions.tiff'")


def _folder_pattern(folders: Collection[str]) -> str:
    """Return a pattern of these folders, with `*` where they differ."""
    parts = [folder.split("/") for folder in folders]
    if len({len(one) for one in parts}) > 1:
        return os.path.join(glob.escape(os.path.commonpath(folders)), "**")
    return "/".join(glob.escape(names[0]) if len(set(names)) == 1 else f"{glob.escape(_common_start(names))}*"
                    for names in zip(*parts, strict=True))


def _common_start(names: Collection[str]) -> str:
    return os.path.commonprefix(list(names))  # noqa: RUF071 - of letters, not of parts of paths
