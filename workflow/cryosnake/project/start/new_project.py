"""The first files of a project: config.yaml, a Snakefile, a profile."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cryosnake.atomic import write_text
from cryosnake.errors import CryosnakeError
from cryosnake.installation import PROFILE, workflow_folder
from cryosnake.project.config.config import parse_config

SNAKEFILE = """\
# cryosnake on the config.yaml of this folder: `cryosnake run`, or `snakemake --cores 4`
from cryosnake.installation import snakefile
include: snakefile()
rule default: input: rules.all.input
"""
HEADER = """\
# {summary}.
#
#     cryosnake run -n    what would run, and why; changes nothing
#     cryosnake run       run it; the same command again does only what is unfinished
#     cryosnake watch     while the microscope runs: process movies as they arrive
#
# Every parameter of a job type with its default: python -m cryosnake.running motioncorr --help
"""
SMALL_PIXEL = 3.5  # Å: particles are first extracted with pixels of about this size
BOX = 1.5  # diameters of the particle


@dataclass(frozen=True, kw_only=True)
class NewProject:
    """What a new config says, in kV, mm, Å and e/Å²; `diameter` is the smallest and the largest of the particle."""

    title: str
    movies: str
    voltage: float
    spherical_aberration: float
    amplitude_contrast: float
    pixel_size: float
    dose_per_frame: float
    gain: str | None
    diameter: tuple[float, float]
    symmetry: str

    def values(self) -> dict[tuple[str, ...], Any]:
        """Return the values of the config by their places in it."""
        box = even_fast_size(BOX * self.diameter[1] / self.pixel_size)
        small = min(box, even_fast_size(box * self.pixel_size / SMALL_PIXEL))
        optics = ("voltage", "spherical_aberration", "amplitude_contrast", "pixel_size", "dose_per_frame", "gain")
        mask = round(1.1 * self.diameter[1])
        return {
            ("title",): self.title,
            **{("microscope", name): getattr(self, name) for name in optics},
            ("jobs", "movies", "movies"): self.movies,
            ("jobs", "picks", "diameter"): list(self.diameter),
            ("jobs", "particles", "box_size"): box,
            ("jobs", "particles", "rescale"): small,
            ("jobs", "unbinned", "box_size"): box,
            **{("jobs", job, "particle_diameter"): mask for job in ("classes", "initial", "refine", "fine")},
            **{("jobs", job, "symmetry"): self.symmetry for job in ("initial", "refine", "fine")},
        }


def config_text(project: NewProject, summary: str) -> str:
    """Return the text of config.yaml: the example's, with its comments, and the project's values.

    Raises
    ------
    CryosnakeError
        when a value is none that the config takes
    """
    example = (workflow_folder() / "config.yaml").read_text(encoding="utf-8").partition("\n\n")[2]
    values = project.values()
    text = _with_values(example, values)
    if project.gain is None:
        text = "".join(line.replace("  gain:", "  # gain:") for line in text.splitlines(keepends=True))
    parse_config(yaml.safe_load(text))
    return f"{HEADER.format(summary=summary)}\n{text}"


def write_project(text: str, folder: Path = Path()) -> list[Path]:
    """Write the files of a project and return them; a profile that is there stays.

    Raises
    ------
    CryosnakeError
        when the folder has a project already, or can't be written to
    """
    refuse_project(folder)
    profile = folder / PROFILE / "profile.yaml"
    files = {folder / "config.yaml": text, folder / "Snakefile": SNAKEFILE}
    if not profile.exists():
        files[profile] = (workflow_folder() / PROFILE / "profile.yaml").read_text(encoding="utf-8")
        profile.parent.mkdir(parents=True, exist_ok=True)
    for path, content in reversed(files.items()):  # config.yaml last: what was cut short may be begun again
        write_text(path, content)
    return list(files)


def refuse_project(folder: Path = Path()) -> None:
    """Refuse a folder in which no project can be started, before anything is asked."""
    own = folder / "Snakefile"
    if (folder / "config.yaml").exists():
        raise CryosnakeError(f"{folder.resolve()} has a config.yaml already, which stays as it is. Edit it, and "
                             "`cryosnake run -n` says what would run; or start another project in another folder")
    if own.exists() and own.read_text(encoding="utf-8", errors="replace") != SNAKEFILE:
        raise CryosnakeError(f"{folder.resolve()} has another workflow's Snakefile, which stays as it is. Start the "
                             "project in a folder of its own")
    if not os.access(folder, os.W_OK):
        raise CryosnakeError(f"{folder.resolve()} can't be written to. Start the project in a folder of your own and "
                             f"link the movies into it: mkdir my_project; cd my_project; ln -s {folder.resolve()} "
                             "Movies; cryosnake init")


def even_fast_size(least: float) -> int:
    """Return the smallest even number that is not below `least` and has no prime factor above 5: fast to transform.

    >>> even_fast_size(254.2)
    256
    """
    from scipy.fft import next_fast_len  # here: only a new project needs it

    return 2 * int(next_fast_len(-int(-least // 2), real=True))


def _with_values(text: str, values: Mapping[tuple[str, ...], Any]) -> str:
    """Return YAML text with other values; None leaves the value. Comments stay, in their column where there is room."""
    nodes = dict(_nodes(yaml.compose(text), ()))
    for place, value in sorted(values.items(), key=lambda item: -nodes[item[0]].start_mark.index):
        if value is not None:
            start, end, new = nodes[place].start_mark.index, nodes[place].end_mark.index, _yaml(value)
            after = text[end:].lstrip(" ")
            if after.startswith("#"):
                new = new.ljust(len(text) - len(after) - start - 1) + " "
            text = text[:start] + new + (after if after.startswith("#") else text[end:])
    return text


def _nodes(node: yaml.Node | None, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*place, key.value), value
            yield from _nodes(value, (*place, key.value))


def _yaml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    return f"{value:g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
