"""The pages of the dashboard: what they show, what they cost, what they write."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
from imagecodecs import png_decode
from shown_project import make_project, write_star
from web_client import TestClient, client, project_address

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc_writer import write_mrc
from cryosnake.pages.web.reading.changes import Changes, differing, stamps
from cryosnake.pages.web.reading.projects import address_of_file
from cryosnake.pages.web.reading.tables import ROWS, Wanted, fitting, page_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of ten jobs, which no test changes."""
    folder = tmp_path_factory.mktemp("web") / "demo"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_project(10)
    return folder


@pytest.fixture(scope="module")
def opened(folder: Path) -> TestClient:
    return client(folder)


@pytest.fixture(scope="module")
def at(opened: TestClient) -> str:
    return project_address(opened)


def test_every_page_of_a_project_is_there(opened: TestClient, at: str, folder: Path) -> None:
    jobs = list(folder.glob("*/job*"))
    pages = ["overview", "runs", "space", *(f"job/{job.relative_to(folder)}" for job in jobs),
             *(f"view/{path.relative_to(folder)}" for path in jobs[0].parent.parent.glob("*/job*/*.star")),
             "view/PostProcess/job010/postprocess_masked.mrc", "view/Class2D/job006/run_it025_classes.mrcs",
             "view/Refine3D/job008/run.out", "view/InitialModel/job007/convergence.json"]
    assert len(jobs) == 10
    for page in pages:
        answer = opened.get(f"{at}/{page}")
        assert answer.status_code == 200, (page, answer.text)
        assert "Could not be shown" not in answer.text.replace("AutoPick", ""), page


def test_nothing_is_written(folder: Path) -> None:
    def files() -> dict[str, tuple[int, int]]:
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}

    before, fresh = files(), client(folder)
    at = project_address(fresh)
    for page in ("overview", "runs", "space", "job/Class2D/job006", "view/default_pipeline.star"):
        assert fresh.get(f"{at}/{page}").status_code == 200
    assert files() == before


def test_the_overview_leads_to_every_job(opened: TestClient, at: str) -> None:
    text = opened.get(f"{at}/overview").text
    chart = text.partition('class="flow"')[2].partition("</svg>")[0]
    for job in ("Import/job001", "Class2D/job006", "PostProcess/job010"):
        assert f'href="{at}/job/{job}"' in chart
        assert opened.get(f"{at}/job/{job}").status_code == 200
    assert opened.get(f"{at}/job/Class2D/class2d_6").status_code == 200  # the alias


def test_projects_below_a_folder_are_listed(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b <i>"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("jobs: {}\n")
    (tmp_path / "none").mkdir()
    text = client(tmp_path).get("/").text
    assert text.count("/overview") == 2 and "b &lt;i&gt;" in text and "none" not in text.partition("<table")[2]
    assert "There is no project in" in client(tmp_path / "none").get("/").text


def test_a_job_offers_its_files(opened: TestClient, at: str, folder: Path) -> None:
    text = opened.get(f"{at}/job/Refine3D/job008").text
    assert f'data-copy="{folder}/Refine3D/job008"' in text
    assert "iteration  11" in text  # the end of its log
    saved = opened.get(f"{at}/file/Refine3D/job008/run.out")
    assert saved.content == (folder / "Refine3D/job008/run.out").read_bytes()


def large_table(folder: Path, rows: int) -> Path:
    (folder / "config.yaml").write_text("jobs: {}\n")
    rng = np.random.default_rng(3)
    path = folder / "micrographs.star"
    write_star(path, {"optics": {"rlnOpticsGroup": [1], "rlnOpticsGroupName": ["a"]}, "micrographs": {
        "rlnMicrographName": [f"MotionCorr/job002/m{number:05d}.mrc" for number in range(rows)],
        "rlnDefocusU": rng.permutation(rows).astype(float), "rlnOpticsGroup": [1] * rows}})
    return path


def calls_of(function: Callable[[], object]) -> int:
    count = 0

    def counted(_frame: object, event: str, _value: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


def test_40000_rows_come_in_pages_sorted_on_the_server(tmp_path: Path) -> None:
    large_table(tmp_path, 40_000)
    opened = client(tmp_path)
    view = f"{project_address(opened)}/view/micrographs.star"
    first = opened.get(view).text
    assert first.count("<tr>") == ROWS + 1 and "40,000 rows" in first and "page 1 of 400" in first
    last = opened.get(f"{view}?sort=rlnDefocusU&down=1&page=400").text
    assert "<td class=\"n\">0</td>" in last and "page 400 of 400" in last and last.count("<tr>") == ROWS + 1
    cut = opened.get(f"{view}?column=rlnDefocusU&low=10&high=19.5").text
    assert "10 of 40,000 rows" in cut and cut.count("<tr>") == 11
    assert "1 of 40,000 row" in opened.get(f"{view}?word=M00017.").text
    for odd in ("?page=99999999", "?page=-4", "?page=nan", "?sort=nothing&column=x&low=a&high=1e400", "?block=none"):
        assert opened.get(view + odd).status_code == 200, odd


def test_a_page_of_a_large_table_costs_as_much_as_one_of_a_small() -> None:
    """In calls: of what is done per row none is Python's."""
    import pandas as pd

    def table(rows: int) -> pd.DataFrame:
        return pd.DataFrame({"rlnMicrographName": [f"m{n}" for n in range(rows)],
                             "rlnDefocusU": np.arange(rows, 0.0, -1)})

    wanted = Wanted(sort="rlnDefocusU", column="rlnDefocusU", low=3.0)
    small, large = table(1_000), table(40_000)
    page_of(small, wanted)
    assert calls_of(lambda: page_of(large, wanted)) < 1.2 * calls_of(lambda: page_of(small, wanted)) + 200
    assert fitting(large, wanted)["rlnDefocusU"].tolist()[:2] == [3.0, 4.0]


def test_a_damaged_table_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("jobs: {}\n")
    (tmp_path / "a.star").write_text("data_\nloop_\n_rlnA #1\n_rlnB #2\n1 2\n3\n")
    (tmp_path / "empty.star").write_text("")
    (tmp_path / "cut.mrc").write_bytes(b"\0" * 1500)
    opened = client(tmp_path)
    at = project_address(opened)
    for name in ("a.star", "cut.mrc"):
        answer = opened.get(f"{at}/view/{name}")
        assert answer.status_code == 409 and name in answer.text
    assert opened.get(f"{at}/image/cut.mrc").status_code == 409
    assert opened.get(f"{at}/view/empty.star").status_code in (200, 409)


def test_pictures_are_right_side_up_and_cut_where_asked(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("jobs: {}\n")
    image = np.zeros((80, 120), np.float32)
    image[:10, :30] = 100.0  # row 0: the bottom
    write_mrc(tmp_path / "m.mrc", image, 2.0)
    write_mrc(tmp_path / "s.mrcs", np.stack([image, -image]), 2.0, stack=True)
    write_mrc(tmp_path / "one.mrcs", image[None], 2.0, stack=True)
    opened = client(tmp_path)
    at = project_address(opened)

    def picture(query: str) -> np.ndarray:
        answer = opened.get(f"{at}/image/{query}")
        assert answer.headers["content-type"] == "image/png"
        return np.asarray(png_decode(answer.content))

    whole = picture("m.mrc?sigma=0")
    assert whole.shape == (80, 120) and whole[-1, 0] == 255 and whole[0, 0] == 0
    assert picture("m.mrc?sigma=0&side=40").shape == (26, 40)
    region = picture("m.mrc?sigma=0&region=20,60,20,20")
    assert region.shape == (20, 20) and region[-1, 0] == 255 and region[-1, -1] == 0 and region[0, 0] == 0
    assert (picture("s.mrcs?sigma=0&section=1")[-1, 0], picture("s.mrcs?sigma=0")[-1, 0]) == (0, 255)
    assert picture("one.mrcs?sigma=0")[-1, 0] == 255 and opened.get(f"{at}/view/one.mrcs").status_code == 200
    assert 0 < picture("m.mrc?sigma=0&lowpass=60")[-11, 29] < 255
    for query in ("m.mrc?region=500,500,9,9", "s.mrcs?section=2"):
        assert opened.get(f"{at}/image/{query}").status_code == 409
    assert "no density" not in opened.get(f"{at}/view/s.mrcs").text


def test_raw_movies_are_shown_through_links_and_not_sent(tmp_path: Path) -> None:
    (tmp_path / "project" / "Movies").mkdir(parents=True)
    (tmp_path / "project" / "config.yaml").write_text("jobs: {}\n")
    write_mrc(tmp_path / "raw.mrc", np.ones((40, 40), np.float32), 1.0)
    (tmp_path / "project" / "Movies" / "raw.mrc").symlink_to(tmp_path / "raw.mrc")
    opened = client(tmp_path / "project")
    at = project_address(opened)
    assert opened.get(f"{at}/image/Movies/raw.mrc").status_code == 200
    assert opened.get(f"{at}/view/Movies/raw.mrc").status_code == 200
    assert opened.get(f"{at}/file/Movies/raw.mrc").status_code == 404


def test_a_micrograph_has_its_values_picks_and_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_project(10, micrographs=3)
    Path("Movies").mkdir()
    write_mrc("Movies/m0001.mrc", np.random.default_rng(0).normal(size=(64, 96)).astype(np.float32), 1.5)
    Path("gone").mkdir()
    write_star(Path("gone/1.star"), {"": {"rlnCoordinateX": [10.0, 20.0], "rlnCoordinateY": [5.0, 60.0]}})
    opened = client(tmp_path)
    at = project_address(opened)
    text = opened.get(f"{at}/view/Movies/m0001.mrc").text
    assert 'cx="10.5" cy="58.5"' in text and 'cx="20.5" cy="3.5"' in text and text.count("<circle") == 2
    assert f"{at}/view/Movies/m0000.mrc" in text and f"{at}/view/Movies/m0002.mrc" in text and "defocus U" in text
    assert "<circle" not in opened.get(f"{at}/view/Movies/m0001.mrc?picks=none").text


def test_what_changes_is_told_once_for_all(tmp_path: Path) -> None:
    job = tmp_path / "Class2D" / "job001"
    job.mkdir(parents=True)
    (tmp_path / "config.yaml").write_text("jobs: {}\n")
    before = stamps(tmp_path)
    (job / "run.out").write_text("iteration 1\n")
    between = stamps(tmp_path)
    assert differing(before, between) == ["Class2D/job001/"]
    (tmp_path / "config.yaml").write_text("jobs:   {}\n")
    (tmp_path / "Class2D" / "job002").mkdir()
    assert differing(between, stamps(tmp_path)) == ["Class2D/job002/", "project"]

    async def watched() -> tuple[str, str, str]:
        changes = Changes(tmp_path)
        first, second = changes.follow(""), changes.follow("of another start.3")
        assert (await anext(first)).startswith("retry:") and (await anext(second)).startswith("retry:")
        lost = await anext(second)
        async with asyncio.TaskGroup() as group:
            events = [group.create_task(_next(one)) for one in (first, second)]
            await asyncio.sleep(0.3)  # the first look is over
            (job / "RELION_JOB_EXIT_SUCCESS").touch()
        return lost, *(event.result() for event in events)

    lost, *told = asyncio.run(asyncio.wait_for(watched(), 30))
    assert json.loads(lost.partition("data: ")[2]) == ["*"]
    assert told[0] == told[1] and json.loads(told[0].partition("data: ")[2]) == ["Class2D/job001/"]


async def _next(events: AsyncIterator[str]) -> str:
    return await anext(events)


def test_other_commands_do_not_import_the_server() -> None:
    code = ("import sys; from cryosnake.cli import _parser; _parser(''); "
            "print([name for name in ('starlette', 'uvicorn', 'cryosnake.pages') if name in sys.modules])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_images_that_change_are_read_again_and_cut_off_ones_end_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("jobs: {}\n")
    write_mrc(tmp_path / "s.mrcs", np.arange(20_000, dtype=np.float32).reshape(2, 100, 100), 2.0, stack=True)
    opened = client(tmp_path)
    at = project_address(opened)
    before = opened.get(f"{at}/image/s.mrcs?section=1").content
    with open(tmp_path / "s.mrcs", "r+b") as file:
        file.truncate(1024 + 40_000)
    answer = opened.get(f"{at}/image/s.mrcs?section=1&region=0,0,50,50")
    assert answer.status_code == 409 and "s.mrcs" in answer.text
    write_mrc(tmp_path / "s.mrcs", np.ones((2, 100, 100), np.float32), 2.0, stack=True)
    assert opened.get(f"{at}/image/s.mrcs?section=1").content not in (b"", before)


def test_view_leads_to_the_page_of_a_file(folder: Path, opened: TestClient, tmp_path: Path,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from inside a job's directory, which has a copy of the pipeline, and for a link to a raw movie."""
    (folder / "Refine3D/job008/default_pipeline.star").write_bytes((folder / "default_pipeline.star").read_bytes())
    monkeypatch.chdir(folder / "Refine3D")
    for name in ("job008/run_model.star", folder / "PostProcess/job010/postprocess_masked.mrc"):
        root, page = address_of_file(Path(name))
        assert root == folder and opened.get(f"/{page}").status_code == 200
    (folder / "Refine3D/job008/default_pipeline.star").unlink()
    for wrong in (Path("/etc/passwd"), tmp_path / "none", folder):
        with pytest.raises(CryosnakeError, match=r"no project|no such file"):
            address_of_file(wrong)
