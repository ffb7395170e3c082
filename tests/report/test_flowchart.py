import re
import shutil
import subprocess
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.edit import add_node, add_process, connect, set_alias
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.model import Node, Pipeline, Process, Status, job_name
from cryosnake.report.flowchart.chart import Flowchart, kind_of, layout, restricted
from cryosnake.report.flowchart.dot import dot_text
from cryosnake.report.flowchart.drawing import COLOURS, write_picture

SVG = "{http://www.w3.org/2000/svg}"


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """Random pipelines, some with cycles, files from outside and several files between two jobs."""
    count = draw(st.integers(0, 12))
    pipeline = add_node(Pipeline(), Node("reference.mrc", "DensityMap.mrc", 6))
    names = [job_name(draw(st.sampled_from(["Import", "Select", "Class2D"])), n) for n in range(1, count + 1)]
    for name in names:
        pipeline = add_process(pipeline, Process(name, "", "", 7, status=draw(st.sampled_from(Status))))
        for file in ("particles.star", "map.mrc"):
            pipeline = add_node(pipeline, Node(name + file, "", 3 if file[0] == "p" else 6), name)
    if names:
        pairs = [(node, name) for node in pipeline.nodes for name in names]
        pipeline = connect(pipeline, inputs=draw(st.lists(st.sampled_from(pairs), max_size=2 * count, unique=True)))
    return pipeline


def project() -> Pipeline:
    """Import -> Extract -> Class2D and Refine3D (which also reads a mask from outside) -> PostProcess."""
    kinds = {"Import": ("micrographs.star", 1), "Extract": ("particles.star", 3), "Class2D": ("run_model.star", 8),
             "Refine3D": ("run_half1.mrc", 10), "PostProcess": ("postprocess.mrc", 11)}
    pipeline = add_node(Pipeline(), Node("masks/mask.mrc", "Mask3D.mrc", 7))
    for number, (folder, (file, kind)) in enumerate(kinds.items(), start=1):
        name = job_name(folder, number)
        status = (Status.SUCCEEDED, Status.SUCCEEDED, Status.FAILED, Status.RUNNING, Status.SCHEDULED)[number - 1]
        pipeline = add_process(pipeline, Process(name, status=status))
        pipeline = add_node(pipeline, Node(name + file, "", kind), name)
    return connect(set_alias(pipeline, "Refine3D/job004/", "first best"), inputs=[
        ("Import/job001/micrographs.star", "Extract/job002/"), ("Extract/job002/particles.star", "Class2D/job003/"),
        ("Extract/job002/particles.star", "Refine3D/job004/"), ("masks/mask.mrc", "Refine3D/job004/"),
        ("Refine3D/job004/run_half1.mrc", "PostProcess/job005/"), ("masks/mask.mrc", "PostProcess/job005/")])


def rectangles(chart: Flowchart) -> list[tuple[float, float, float, float]]:
    return [(box.x, box.y, box.x + box.width, box.y + box.height) for box in chart.boxes]


def overlap(first: tuple[float, float, float, float], second: tuple[float, float, float, float]) -> bool:
    return (min(first[2], second[2]) - max(first[0], second[0]) > 0.1
            and min(first[3], second[3]) - max(first[1], second[1]) > 0.1)


def check_geometry(chart: Flowchart) -> None:
    """What makes a picture readable: nothing lies on anything else, all inside the frame."""
    boxes = rectangles(chart)
    labels = [(a.label.x - a.label.width / 2, a.label.y - 8, a.label.x + a.label.width / 2, a.label.y + 8)
              for a in chart.arrows]
    assert not [pair for pair in combinations(boxes + labels, 2) if overlap(*pair)]
    for x0, y0, x1, y1 in boxes + labels:
        assert x0 >= 0 and y0 >= 0 and x1 <= chart.width and y1 <= chart.height
    for arrow in chart.arrows:
        for (x0, y0), (x1, y1) in pairwise(arrow.points):  # a bend stays between layers, a straight part beside boxes
            segment = (min(x0, x1) - 1, min(y0, y1), max(x0, x1) + 1, max(y0, y1))
            assert not [box for box in boxes if overlap(segment, box)], arrow


@given(pipelines())
@settings(max_examples=60, deadline=None)
def test_nothing_overlaps_and_nothing_is_lost(pipeline: Pipeline) -> None:
    chart = layout(pipeline)
    check_geometry(chart)
    assert set(pipeline.processes) <= {box.name for box in chart.boxes}
    drawn = {(node, arrow.target) for arrow in chart.arrows for node in arrow.nodes}
    assert drawn == {(node, name) for node, name in pipeline.input_edges if pipeline.producers.get(node) != name}


@given(pipelines())
@settings(max_examples=10, deadline=None)
def test_any_project_can_be_drawn(tmp_path_factory: pytest.TempPathFactory, pipeline: Pipeline) -> None:
    path = tmp_path_factory.mktemp("drawn") / "f.svg"
    write_picture(path, layout(pipeline))
    ElementTree.parse(path)


def test_arrows_go_down_and_end_at_their_boxes() -> None:
    chart = layout(project())
    boxes = {box.name: box for box in chart.boxes}
    assert len(chart.arrows) == 6
    for arrow in chart.arrows:
        source, target = boxes[arrow.source], boxes[arrow.target]
        assert [y for _, y in arrow.points] == sorted(y for _, y in arrow.points)
        assert arrow.points[0][1] == source.y + source.height
        assert arrow.points[-1][1] == target.y
        assert source.x < arrow.points[0][0] < source.x + source.width
        assert target.x < arrow.points[-1][0] < target.x + target.width


def test_a_chain_is_drawn_straight() -> None:
    pipeline = Pipeline()
    for number in range(1, 6):
        name = job_name("Select", number)
        pipeline = add_node(add_process(pipeline, Process(name)), Node(f"{name}particles.star", "", 3), name)
        if number > 1:
            pipeline = connect(pipeline, inputs=[(f"{job_name('Select', number - 1)}particles.star", name)])
    xs = [x for arrow in layout(pipeline).arrows for x, _ in arrow.points]
    assert max(xs) - min(xs) < 0.5


def test_a_cycle_is_drawn_with_one_arrow_up() -> None:
    pipeline = Pipeline()
    for number in (1, 2):
        name = job_name("Select", number)
        pipeline = add_node(add_process(pipeline, Process(name)), Node(f"{name}particles.star", "", 3), name)
    pipeline = connect(pipeline, inputs=[("Select/job001/particles.star", "Select/job002/"),
                                         ("Select/job002/particles.star", "Select/job001/")])
    arrows = layout(pipeline).arrows
    assert sorted(a.points[-1][1] > a.points[0][1] for a in arrows) == [False, True]


def test_restriction_to_one_job() -> None:
    pipeline = project()
    assert set(restricted(pipeline, "Class2D/job003/").processes) == {"Import/job001/", "Extract/job002/",
                                                                     "Class2D/job003/"}
    part = restricted(pipeline, "Refine3D/job004/")
    assert set(part.processes) == {"Import/job001/", "Extract/job002/", "Refine3D/job004/", "PostProcess/job005/"}
    assert "masks/mask.mrc" in part.nodes


@pytest.mark.parametrize(("node", "count", "words"), [
    (Node("x", "", 3), 1408, "1,408 particles"), (Node("x", "", 3), 1, "1 particle"), (Node("x", "", 7), None, "mask"),
    (Node("x", "", 10), None, "half maps"), (Node("x", "ParamsData.txt", 99), None, "ParamsData"),
    (Node("x", "", 99), None, "file")])
def test_words_for_nodes(node: Node, count: int | None, words: str) -> None:
    assert kind_of(node, count) == words


def test_svg_says_type_number_alias_status_and_counts(tmp_path: Path) -> None:
    odd = "refs/β-gal $1$ & <2>.mrcs"
    pipeline = connect(add_node(project(), Node(odd, "", 5)), inputs=[(odd, "Extract/job002/")])
    write_picture(tmp_path / "f.svg", layout(pipeline, {"Extract/job002/particles.star": 1408}))
    tree = ElementTree.parse(tmp_path / "f.svg")
    texts = [element.text for element in tree.iter(f"{SVG}text")]
    for expected in ("Refine3D", "job004", "first_best", "running", "1,408 particles", "mask.mrc",
                     "β-gal $1$ & <2>.mrcs", "failed"):
        assert expected in texts, expected
    assert texts.count("1,408 particles") == 2
    source = (tmp_path / "f.svg").read_text(encoding="utf-8")
    assert all(COLOURS[status] in source for status in Status if status != Status.ABORTED)
    titles = [element.text for element in tree.iter(f"{SVG}title")]  # the pointer shows the path
    assert {"Extract/job002/particles.star", "Class2D/job003/: Failed", odd} <= set(titles)
    write_picture(tmp_path / "again.svg", layout(pipeline, {"Extract/job002/particles.star": 1408}))
    assert (tmp_path / "again.svg").read_text(encoding="utf-8") == source


def test_png_and_pdf(tmp_path: Path) -> None:
    chart = layout(project())
    write_picture(tmp_path / "f.png", chart, scale=1.0)
    from matplotlib.image import imread

    picture = imread(tmp_path / "f.png")
    assert abs(picture.shape[1] - chart.width) < 2  # one pixel per px
    assert picture[..., :3].std() > 0.02  # not blank
    write_picture(tmp_path / "f.pdf", chart)
    assert (tmp_path / "f.pdf").read_bytes().startswith(b"%PDF")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.pdf", "f.png"]


def test_dot() -> None:
    chart = layout(set_alias(project(), "Extract/job002/", "first"))
    quoted = connect(add_node(project(), Node('a "b".mrc', "", 6)), inputs=[('a "b".mrc', "Extract/job002/")])
    text = dot_text(chart)
    assert '"Extract/job002/" -> "Refine3D/job004/" [label="particles"];' in text
    assert r'label="Extract job002\nfirst\nsucceeded"' in text
    assert r'"a \"b\".mrc" [label="a \"b\".mrc" style=dashed];' in dot_text(layout(quoted))
    assert len(re.findall(" -> ", text)) == 6


@pytest.fixture
def latex(tmp_path: Path) -> Path:
    """A flowchart with every sign that LaTeX takes for something else."""
    pipeline = add_node(set_alias(project(), "Extract/job002/", "50_of_1"), Node("refs/{2d}^#$&%~.mrcs", "", 5))
    write_picture(tmp_path / "f.tex", layout(connect(pipeline, inputs=[("refs/{2d}^#$&%~.mrcs", "Extract/job002/")])))
    return tmp_path / "f.tex"


def test_latex_escapes_every_name(latex: Path) -> None:
    text = latex.read_text(encoding="utf-8")
    assert r"50\_of\_1" in text
    assert r"\{2d\}\textasciicircum{}\#\$\&\%\textasciitilde{}.mrcs" in text
    assert text.count(r"\begin{pgfpicture}") == text.count(r"\end{pgfpicture}") == 1
    assert text.rstrip().endswith(r"\end{document}")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not on the PATH")
def test_pdflatex_takes_it(latex: Path) -> None:
    done = subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", latex.name], cwd=latex.parent,
                          capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "(1 page" in done.stdout


def test_a_picture_too_large_for_png_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CryosnakeError, match=r"pixels are too many for PNG; write SVG"):
        write_picture(tmp_path / "f.png", layout(project()), scale=1000.0)


@pytest.mark.parametrize("kind", ["svg", "png", "pdf", "tex"])
def test_empty_project(tmp_path: Path, kind: str) -> None:
    write_picture(tmp_path / f"f.{kind}", layout(Pipeline()))
    assert (tmp_path / f"f.{kind}").stat().st_size > 100


@pytest.mark.data
@pytest.mark.parametrize("name", ["relion20_bgal_falcon", "relion31_project_bgal", "relion50_project_bgal"])
def test_real_projects_are_readable(real_data: Path, name: str) -> None:
    pipeline = read_pipeline(real_data / name / "default_pipeline.star")
    chart = layout(pipeline)
    check_geometry(chart)
    assert sum(box.status is not None for box in chart.boxes) == len(pipeline.processes)
    bends = [abs(x1 - x0) for arrow in chart.arrows for (x0, _), (x1, _) in pairwise(arrow.points)]
    assert sum(bend < 0.5 for bend in bends) > 0.7 * len(bends)  # 0.76 to 0.85; without straightening 0.54 to 0.65
