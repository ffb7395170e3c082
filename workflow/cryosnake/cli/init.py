"""`cryosnake init`: a project in the folder of the movies."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryosnake.cli.commands import Arguments, Commands, add_command
from cryosnake.errors import CryosnakeError
from cryosnake.project.start.gain import find_gains, gain_problem
from cryosnake.project.start.movies import FoundMovies, find_movies, movies_of
from cryosnake.project.start.new_project import NewProject, config_text, refuse_project, write_project

# what is asked: name, question, default ("": there is none)
QUESTIONS = (
    ("voltage", "Acceleration voltage (kV)", ""),
    ("spherical_aberration", "Spherical aberration (mm)", "2.7"),
    ("pixel_size", "Pixel size of the movies (Å)", ""),
    ("dose_per_frame", "Dose of one frame (e/Å²); of EER movies, of a group of 40", ""),
    ("diameter", "Smallest and largest diameter of the particle (Å)", ""),
    ("symmetry", "Symmetry of the particle", "C1"),
)


def register(commands: Commands) -> None:
    """Add the commands of this module."""
    init = add_command(
        commands, "init", _init, help="start a project in the folder of your movies",
        description="Finds the movies below this folder, reads what their headers say, asks for the rest (on a "
        "terminal), and writes config.yaml, a Snakefile and profiles/default. Changes no file that is there.")
    init.add_argument("--movies", metavar="PATTERN", help="pattern of the movies, such as 'Movies/*.tiff' (default: "
                      "what is found)")
    init.add_argument("--voltage", type=float, metavar="KV")
    init.add_argument("--spherical-aberration", type=float, metavar="MM", help="default 2.7")
    init.add_argument("--amplitude-contrast", type=float, default=0.1, metavar="A", help="default 0.1")
    init.add_argument("--pixel-size", type=float, metavar="Å", help="default: what the movies' headers say")
    init.add_argument("--dose-per-frame", type=float, metavar="E", help="e/Å²")
    init.add_argument("--gain", metavar="FILE", help="gain reference, or `none` (default: the one that is found)")
    init.add_argument("--diameter", type=float, nargs=2, metavar=("MIN", "MAX"), help="of the particle, in Å")
    init.add_argument("--symmetry", metavar="GROUP", help="of the particle (default C1)")
    init.add_argument("--title", default=Path.cwd().name, help="default: the name of the folder")
    init.add_argument("--yes", action="store_true", help="ask nothing: take what was found, and defaults")


def _init(arguments: Arguments) -> None:
    refuse_project()
    movies = movies_of(arguments.movies) if arguments.movies else find_movies()
    print(movies.summary())
    ask = sys.stdin.isatty() and not arguments.yes
    gain = _gain(arguments.gain, movies)
    print(f"gain reference: {gain or 'none'}")
    found = {name: getattr(arguments, name) for name, _, _ in QUESTIONS}
    answers = _answers(found, movies.pixel_size, ask)
    project = NewProject(title=arguments.title, movies=movies.pattern, gain=gain,
                         amplitude_contrast=arguments.amplitude_contrast, **answers)
    for path in write_project(config_text(project, movies.summary())):
        print(f"wrote {path}")
    print("next: read config.yaml; `cryosnake run -n` says what would run, `cryosnake run` runs it")


def _gain(given: str | None, movies: FoundMovies) -> str | None:
    if given:
        problem = gain_problem(given, movies) if given != "none" else ""
        print(f"note: {problem}" if problem else "", end="\n" * bool(problem))
        return None if given == "none" else given
    fitting, others = find_gains(movies)
    for reason in others:
        print(f"not taken: {reason}")
    if len(fitting) > 1:
        raise CryosnakeError(f"several files look like the gain reference: {', '.join(fitting)}. Say which: --gain "
                             f"{fitting[0]}, or --gain none")
    return fitting[0] if fitting else None


def _answers(given: Mapping[str, Any], pixel_size: float | None, ask: bool) -> dict[str, Any]:
    """Return all values: given on the command line, answered, found in headers, or the defaults."""
    answers: dict[str, Any] = {}
    missing = []
    for name, question, default in QUESTIONS:
        if name == "pixel_size" and pixel_size:
            default = f"{pixel_size:g}"
        if given[name] is not None:
            answers[name] = tuple(given[name]) if name == "diameter" else given[name]
        elif ask:
            answers[name] = _asked(name, question, default)
        elif default:
            answers[name] = _value(name, default)
        else:
            missing.append(f"--{name.replace('_', '-')} ({question})")
    if missing:
        raise CryosnakeError(f"init can't ask here, and the movies do not say: {'; '.join(missing)}")
    return answers


def _asked(name: str, question: str, default: str) -> Any:
    while True:
        try:
            return _value(name, input(f"{question}{f' [{default}]' if default else ''}: ").strip() or default)
        except ValueError:
            print("two numbers, as in: 150 180" if name == "diameter" else "a number, as in: 300")
        except EOFError:
            raise CryosnakeError("init was not told everything and has written nothing") from None


def _value(name: str, text: str) -> Any:
    if name == "symmetry":
        return text
    if name == "diameter":
        smallest, largest = map(float, text.replace(",", " ").split())
        return smallest, largest
    return float(text)
