"""A job's history as a LaTeX document with TikZ pictures, in the form of RELION's flowcharts; and as PDF.

An overview with the types alone, then each branch in full: names, numbers, counts on the arrows.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.model import Pipeline
from cryosnake.pipeline.star_text import write_atomically
from cryosnake.report.flowchart.branches import Branch, SideInput, Step, branches, leaves
from cryosnake.report.flowchart.chart import named

_HEAD = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage[margin=15mm]{geometry}
\usepackage{tikz}
\usepackage{hyperref}
\usetikzlibrary{shapes,arrows}
\tikzset{
  job/.style={rectangle, rounded corners, draw, fill=blue!10, align=center, text width=34mm, minimum height=11mm},
  side/.style={rectangle, draw, fill=orange!15, align=center, text width=34mm, minimum height=9mm, font=\small},
  file/.style={rectangle, draw, dashed, align=center, text width=34mm, minimum height=8mm, font=\small},
  flow/.style={->, >=stealth, thick},
  what/.style={right, font=\scriptsize},
}
\pagestyle{empty}
\begin{document}
"""
_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
            **{sign: f"\\{sign}" for sign in "_#$%&{}"}}
_STEP = 2.3  # cm between the boxes of a line
_BESIDE = 6.2  # cm to a box beside it


def write_tex(path: str | os.PathLike[str], pipeline: Pipeline, counts: Mapping[str, int] | None = None,
              notes: Mapping[str, str] | None = None, around: str = "", title: str = "") -> None:
    """Write the history of a job, or of all last jobs of a project, as a LaTeX document.

    Parameters
    ----------
    path
        The file.
    pipeline
        The project's jobs.
    counts
        Node name to the number of things in it.
    notes
        Process name to a word for its box, such as a resolution.
    around
        The job (`MotionCorr/job002` or its alias); "" for all jobs that no other uses.
    title
        Stands above each overview; the job's name when empty.
    """
    write_atomically(path, tex(pipeline, counts or {}, notes or {}, around, title))


def write_pdf(path: str | os.PathLike[str], pipeline: Pipeline, counts: Mapping[str, int] | None = None,
              notes: Mapping[str, str] | None = None, around: str = "", title: str = "") -> None:
    """Write the same as PDF, by pdflatex; see `write_tex`.

    Raises
    ------
    CryosnakeError
        when pdflatex is not there, or can't make it
    """
    program = shutil.which("pdflatex")
    if program is None:
        raise CryosnakeError(f"{path}: pdflatex is not on the PATH, which makes the PDF (Debian: apt-get install "
                             "texlive-latex-base texlive-pictures); write .tex, .svg or .png instead")
    with tempfile.TemporaryDirectory() as folder:
        text = tex(pipeline, counts or {}, notes or {}, around, title)
        Path(folder, "flowchart.tex").write_text(text, encoding="utf-8")
        done = subprocess.run([program, "-interaction=nonstopmode", "-halt-on-error", "flowchart.tex"], cwd=folder,
                              capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            problem = next((line for line in done.stdout.splitlines() if line.startswith("!")), "see its log")
            raise CryosnakeError(f"{path}: pdflatex could not make it ({problem.lstrip('! ')}); packages may be "
                                 "missing (Debian: texlive-latex-base texlive-pictures); write .tex or .svg instead")
        shutil.copyfile(Path(folder, "flowchart.pdf"), path)


def tex(pipeline: Pipeline, counts: Mapping[str, int], notes: Mapping[str, str], around: str = "",
        title: str = "") -> str:
    """Return the LaTeX document; see `write_tex`."""
    pages = []
    for job in [named(pipeline, around)] if around else leaves(pipeline):
        found = branches(pipeline, job, counts)
        pages.append(_page(_escaped(title) or f"The way to {_words(job, pipeline)[0]}", _overview(found)))
        pages += [_page(_title(branch, pipeline), _picture(branch, pipeline, notes)) for branch in found]
    return _HEAD + "\n\\clearpage\n".join(pages) + "\\end{document}\n"


def _page(title: str, picture: str) -> str:
    return f"\\section*{{{title}}}\n{picture}"


def _title(branch: Branch, pipeline: Pipeline) -> str:
    job = branch.steps[0].job
    return f"\\hypertarget{{{_anchor(job)}}}{{{' '.join(filter(None, _words(job, pipeline)))}}}"


def _overview(found: list[Branch]) -> str:
    """Draw the first branch with the types of its jobs, and of what comes in beside it."""
    lines = ["\\begin{tikzpicture}"]
    for number, step in enumerate(found[0].steps):
        y = number * _STEP * 0.7
        lines.append(f"\\node[{_style(step)}] (o{number}) at (0,{y:.2f}) {{{_type_of(step.job or step.file)}}};")
        for beside, side in enumerate(step.sides):
            x = -_BESIDE if side.left else _BESIDE
            lines.append(f"\\node[side] (o{number}-{beside}) at ({x},{y + 0.9 * _rows_before(step, beside):.2f}) "
                         f"{{{_type_of(side.job or side.file)}}};")
            lines.append(f"\\draw[flow] (o{number}-{beside}) -- (o{number});")
        if number:
            lines.append(f"\\draw[flow] (o{number}) -- (o{number - 1});")
    return "\n".join([*lines, "\\end{tikzpicture}", ""])


def _picture(branch: Branch, pipeline: Pipeline, notes: Mapping[str, str]) -> str:
    lines = ["\\begin{tikzpicture}"]
    y = 0.0
    for number, step in enumerate(branch.steps):
        box = _box(step, pipeline, notes)
        lines.append(f"\\node[{_style(step)}] ({_name(step, number)}) at (0,{y:.2f}) {{{box}}};")
        for beside, side in enumerate(step.sides):
            lines += _side(side, step, number, y + 1.3 * _rows_before(step, beside), beside, pipeline)
        if number:
            below = branch.steps[number - 1]
            lines.append(f"\\draw[flow] ({_name(step, number)}) -- node[what] {{{_escaped(below.arrives)}}} "
                         f"({_name(below, number - 1)});")
        y += max(_STEP, 1.3 * max((_rows_before(step, len(step.sides))), 1))
    if branch.goes_on:
        lines.append(f"\\node[font=\\small] at (0,{y:.2f}) {{goes on with \\hyperlink{{{_anchor(branch.goes_on)}}}"
                     f"{{{_escaped(branch.goes_on.rstrip('/'))}}}}};")
    return "\n".join([*lines, "\\end{tikzpicture}", ""])


def _side(side: SideInput, step: Step, number: int, y: float, beside: int, pipeline: Pipeline) -> list[str]:
    """Return the box of a side input, linked to its own branch, and its arrow."""
    name, text = f"s{number}-{beside}", _escaped(side.file)
    if side.job:
        words = r" \\ ".join(filter(None, _words(side.job, pipeline)))
        text = f"\\hyperlink{{{_anchor(side.job)}}}{{{words}}}"
    x = -_BESIDE if side.left else _BESIDE
    return [f"\\node[side] ({name}) at ({x},{y:.2f}) {{{text}}};",
            f"\\draw[flow] ({name}) -- node[above, sloped, font=\\scriptsize] {{{_escaped(side.kind)}}} "
            f"({_name(step, number)});"]


def _rows_before(step: Step, beside: int) -> int:
    """Return how many side boxes of the same side come before one; for their number in all, the longer side."""
    if beside == len(step.sides):
        left = sum(side.left for side in step.sides)
        return max(left, len(step.sides) - left)
    return sum(other.left == step.sides[beside].left for other in step.sides[:beside])


def _box(step: Step, pipeline: Pipeline, notes: Mapping[str, str]) -> str:
    if not step.job:
        return _escaped(step.file)
    return r" \\ ".join(filter(None, [*_words(step.job, pipeline), _escaped(notes.get(step.job, ""))]))


def _words(job: str, pipeline: Pipeline) -> tuple[str, str]:
    """Return "MotionCorr/job002" and the alias, for LaTeX."""
    return _escaped(job.rstrip("/")), _escaped(pipeline.processes[job].short_alias)


def _type_of(name: str) -> str:
    return _escaped(name.partition("/")[0] if name.endswith("/") else os.path.basename(name))


def _style(step: Step) -> str:
    return "job" if step.job else "file"


def _name(step: Step, number: int) -> str:
    return f"b{number}-{_anchor(step.job or step.file)}"


def _anchor(name: str) -> str:
    """Return a name that TikZ and hyperref take: letters, digits and dashes."""
    return "".join(sign if sign.isalnum() and sign.isascii() else "-" for sign in name.rstrip("/"))


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(sign, sign) for sign in text)
