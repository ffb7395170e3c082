"""Names of products follow RELION's rule and stay inside the project."""

from pathlib import Path

import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.paths import MicrographNames, micrograph_root, post_name
from cryosnake.project.records.batches import product_files


@pytest.mark.parametrize(
    ("job", "name", "root"),
    [
        ("MotionCorr/job002", "Movies/a.tiff", "MotionCorr/job002/Movies/a"),
        ("MotionCorr/job002/", "Movies/a.tiff", "MotionCorr/job002/Movies/a"),
        ("CtfFind/job003/", "MotionCorr/job002/Movies/a.mrc", "CtfFind/job003/Movies/a"),
        ("CtfFind/job1003/", "MotionCorr/job1002/Movies/a.b.mrc", "CtfFind/job1003/Movies/a.b"),
        ("Extract/job005", "job123/a.mrc", "Extract/job005/a"),
        ("MotionCorr/job002", "Mov.v1/a.0.tif", "MotionCorr/job002/Mov_v1/a_0"),
        ("Extract/job005", "a.mrcs", "Extract/job005/a"),
        # a folder of the user that only looks like a job is not one
        ("Extract/job005", "MotionCorr/job002/jobs/a.mrc", "Extract/job005/jobs/a"),
        ("Extract/job005", "MotionCorr/job002/Movies/job123/a.mrc", "Extract/job005/Movies/job123/a"),
        ("Extract/job005", "myjob001/a.mrc", "Extract/job005/myjob001/a"),
    ],
)
def test_root_of_a_micrograph(job: str, name: str, root: str) -> None:
    assert micrograph_root(job, name) == Path(root)


@pytest.mark.parametrize("name", ["Movies/a.tif", "MotionCorr/job002/Movies/a.mrc", "Movies/a.0.tif", "job123/a.mrc"])
@pytest.mark.parametrize("job", ["MotionCorr/job002", "CtfFind/job003"])
def test_the_planner_looks_for_the_same_names(job: str, name: str) -> None:
    assert product_files(job, ["{root}.mrc"], name) == [f"{micrograph_root(job, name)}.mrc"]


def test_post_name_keeps_the_extension() -> None:
    assert post_name("Import/job001/movies.star") == "movies.star"
    assert post_name("Movies/a.tif") == "Movies/a.tif"


@pytest.mark.parametrize("name", ["/data/a.tif", "../Movies/a.tif", "Movies/../../a.tif", "MotionCorr/job002/"])
def test_products_never_leave_the_job_directory(name: str) -> None:
    with pytest.raises(CryosnakeError, match="project folder"):
        micrograph_root("MotionCorr/job002", name)


@pytest.mark.parametrize(("name", "found"), [
    ("MotionCorr/job005/Movies/a.mrc", ["MotionCorr/job002/Movies/a.mrc"]),  # another motion correction of the movie
    ("./MotionCorr//job002/Movies/a.mrc", ["MotionCorr/job002/Movies/a.mrc"]),
    ("/elsewhere/MotionCorr/job002/Movies/a.mrc", ["MotionCorr/job002/Movies/a.mrc"]),
    ("MotionCorr/job005/Movies/b.mrc", ["MotionCorr/job002/Movies/b.mrc", "MotionCorr/job003/Movies/b.mrc"]),
    ("MotionCorr/job003/Movies/b.mrc", ["MotionCorr/job003/Movies/b.mrc"]),
    ("sessionA/MotionCorr/job009/Movies/c.mrc", ["sessionA/MotionCorr/job002/Movies/c.mrc"]),
    ("MotionCorr/job009/sessionB/Movies/c.mrc", ["sessionB/MotionCorr/job002/Movies/c.mrc"]),
    ("sessionC/MotionCorr/job002/Movies/c.mrc", []), ("MotionCorr/job002/Movies/c.mrc", []),  # which of the two?
    ("a.mrc", []), ("Movies/d.mrc", []),
])
def test_the_same_micrograph_in_another_table(name: str, found: list[str], tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = MicrographNames(["MotionCorr/job002/Movies/a.mrc", "MotionCorr/job002/Movies/b.mrc",
                             "MotionCorr/job003/Movies/b.mrc", "sessionA/MotionCorr/job002/Movies/c.mrc",
                             "sessionB/MotionCorr/job002/Movies/c.mrc", "Mics/e.mrc"])
    assert table.like(name) == found
    assert table.like(f"{tmp_path}/Mics/../Mics/e.mrc") == ["Mics/e.mrc"]
