"""The history of a job in RELION's form: branches, the LaTeX text, and the PDF where pdflatex is."""

from __future__ import annotations

import re
import shutil

import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.edit import add_node, add_process, connect, set_alias
from cryosnake.pipeline.model import Node, Pipeline, Process, job_name
from cryosnake.report.flowchart.branches import LONGEST, branches, leaves
from cryosnake.report.flowchart.tikz import tex, write_pdf, write_tex

JOBS = (  # folder, output, its type, inputs
    ("Import", "movies.star", 0, ()), ("MotionCorr", "corrected_micrographs.star", 1, (1,)),
    ("CtfFind", "micrographs_ctf.star", 1, (2,)), ("AutoPick", "autopick.star", 2, (3,)),
    ("Extract", "particles.star", 3, (3, 4)), ("InitialModel", "initial_model.mrc", 6, (5,)),
    ("Refine3D", "run_half1_class001_unfil.mrc", 10, (5, 6)), ("MaskCreate", "mask.mrc", 7, (7,)),
    ("PostProcess", "postprocess.mrc", 11, (7, 8)),
)


@pytest.fixture
def pipeline() -> Pipeline:
    made = add_node(Pipeline(), Node("refs/2d_%1.mrcs", "", 5))
    for number, (folder, file, kind, inputs) in enumerate(JOBS, start=1):
        name = job_name(folder, number)
        made = add_node(add_process(made, Process(name)), Node(name + file, "", kind), name)
        files = [job_name(JOBS[n - 1][0], n) + JOBS[n - 1][1] for n in inputs]
        made = connect(made, inputs=[(file, name) for file in files])
    made = connect(made, inputs=[("refs/2d_%1.mrcs", "AutoPick/job004/")])
    return set_alias(made, "Refine3D/job007/", "the_best~1")


def test_the_line_follows_the_main_inputs(pipeline) -> None:
    first, *others = branches(pipeline, "PostProcess/job009/", {"Extract/job005/particles.star": 1408})
    assert [step.job.rstrip("/") for step in first.steps] == [
        "PostProcess/job009", "Refine3D/job007", "Extract/job005", "CtfFind/job003", "MotionCorr/job002",
        "Import/job001"]
    sides = {side.job or side.file: side.left for step in first.steps for side in step.sides}
    assert sides == {"MaskCreate/job008/": True, "InitialModel/job006/": False, "AutoPick/job004/": False}
    assert first.steps[1].arrives == "1,408 particles"
    assert [branch.steps[0].job for branch in others] == [
        "MaskCreate/job008/", "InitialModel/job006/", "AutoPick/job004/"]
    drawn = [step.job for branch in (first, *others) for step in branch.steps[:-1] if step.job]
    assert len(drawn) == len(set(drawn))


def test_long_lines_go_on_in_another_picture() -> None:
    made = Pipeline()
    for number in range(1, 26):
        name = job_name("Select", number)
        made = add_node(add_process(made, Process(name)), Node(f"{name}particles.star", "", 3), name)
        if number > 1:
            made = connect(made, inputs=[(f"{job_name('Select', number - 1)}particles.star", name)])
    found = branches(made, "Select/job025/", {})
    assert [len(branch.steps) for branch in found] == [LONGEST, LONGEST, 5]
    assert [branch.goes_on for branch in found] == ["Select/job015/", "Select/job005/", ""]
    assert leaves(made) == ["Select/job025/"]
    assert r"goes on with \hyperlink{Select-job015}{Select/job015}" in tex(made, {}, {}, "Select/job025")


def test_the_text_is_latex(pipeline, tmp_path) -> None:
    write_tex(tmp_path / "chart.tex", pipeline, around="PostProcess/job009")
    text = (tmp_path / "chart.tex").read_text()
    assert r"\documentclass{article}" in text
    assert r"\usetikzlibrary{shapes,arrows}" in text
    assert text.count(r"\begin{tikzpicture}") == text.count(r"\end{tikzpicture}") == 5  # an overview and four branches
    assert r"Refine3D/job007 \\ the\_best\textasciitilde{}1" in text
    assert r"2d\_\%1.mrcs" in text
    links = re.findall(r"\\hyperlink\{([^}]*)\}", text)
    assert set(links) <= set(re.findall(r"\\hypertarget\{([^}]*)\}", text))
    boxes = re.findall(r"\\node\[\w+\] \(([^)]*)\)", text)
    assert all(re.fullmatch(r"[A-Za-z0-9-]+", box) for box in boxes)  # what TikZ takes as a name


def test_without_pdflatex_it_is_said(pipeline, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("cryosnake.report.flowchart.tikz.shutil.which", lambda _: None)
    with pytest.raises(CryosnakeError, match="apt-get install texlive-latex-base"):
        write_pdf(tmp_path / "chart.pdf", pipeline)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not on the PATH")
def test_pdflatex_takes_it(pipeline, tmp_path) -> None:
    write_pdf(tmp_path / "chart.pdf", pipeline, notes={"PostProcess/job009/": "3.4 Å"})
    assert (tmp_path / "chart.pdf").read_bytes().startswith(b"%PDF")
