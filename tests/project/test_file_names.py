"""Names of movies: one that can't be used, or whose products have the name of another's, stops no other movie."""

from __future__ import annotations

import copy
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import write_mrc
from cryosnake.project.config.config import parse_config
from cryosnake.project.planning.before_run import refuse_unusable
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.planned import NoMoviesYet, Plan
from cryosnake.project.records.batches import MANIFEST, product_files, read_manifest
from cryosnake.project.run.commit import commit

RAW: dict[str, Any] = {
    "microscope": {"voltage": 300, "spherical_aberration": 2.7, "pixel_size": 1.0, "dose_per_frame": 1.2},
    "jobs": {"movies": {"type": "import", "movies": "**/*.mrcs"}, "motion": {"type": "motioncorr", "movies": "movies"}},
}
UNUSABLE = {
    "line\nfeed": r"line\nfeed", "carriage\rreturn": r"carriage\rreturn", "form\x0cfeed": r"form\x0cfeed",
    "next\x85line": r"next\x85line", "separator\u2028": r"separator\u2028", "tab\there": r"tab\there",
    "bell\a": r"bell\x07", "latin\udce9": r"latin\xe9", "\udcff\udcfe": r"\xff\xfe", "both\"'": "both\"'",
    "it's 5\" wide": "it's 5\" wide",
}


def add(*names: str) -> None:
    for name in names:
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        write_mrc(".one.mrc", np.zeros((2, 8, 8), np.float32), 1.0, stack=True)
        os.replace(".one.mrc", name)
        os.utime(name, (time.time() - 60,) * 2)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    add("Movies/a.mrcs", "Movies/b.mrcs")
    return tmp_path


def plan_of(**microscope: str) -> Plan:
    raw = copy.deepcopy(RAW)
    raw["microscope"].update(microscope)
    return make_plan(parse_config(raw))


def imported(plan: Plan) -> list[str]:
    return [name for names in plan.jobs["movies"].movies.values() for name in names]


@pytest.mark.parametrize("where", ["Movies/{}.mrcs", "Movies/{}/c.mrcs"])
@pytest.mark.parametrize("name", UNUSABLE)
def test_a_movie_whose_name_can_not_be_used_is_left_out_until_it_is_renamed(project, name: str, where: str) -> None:
    add(where.format(name))
    plan = plan_of()
    assert imported(plan) == ["Movies/a.mrcs", "Movies/b.mrcs"]
    (shown, reason), = plan.waiting
    assert shown == where.format(UNUSABLE[name]) and reason.startswith("its name ") and reason.endswith("; rename it")
    commit(plan)
    assert read_manifest("Import/job001") == {1: ["Movies/a.mrcs", "Movies/b.mrcs"]}
    assert imported(plan_of()) == imported(plan) and plan_of().waiting == plan.waiting
    os.rename(where.format(name), "Movies/mended.mrcs")
    assert imported(plan_of()) == ["Movies/a.mrcs", "Movies/b.mrcs", "Movies/mended.mrcs"]


@pytest.mark.parametrize("name", ["a b.mrcs", "é\u00a0µ.mrcs", "全\u3000角.mrcs", "it's.mrcs", '5".mrcs', "-x.mrcs",
                                  "#1;{x}@%s.mrcs", "$(touch x).mrcs", "\u200b.mrcs"])
def test_other_names_can_be_used(project, name: str) -> None:
    add(f"Movies/{name}")
    plan = plan_of()
    assert f"Movies/{name}" in imported(plan) and not plan.waiting
    commit(plan)
    assert f"Movies/{name}" in read_manifest("Import/job001")[1]


def test_where_no_name_can_be_used_all_are_listed(project) -> None:
    os.rename("Movies/a.mrcs", "Movies/\t.mrcs")
    os.rename("Movies/b.mrcs", "Movies/\n.mrcs")
    with pytest.raises(NoMoviesYet, match=r"(?s)Movies/\\t\.mrcs: its name.*Movies/\\n\.mrcs: its name") as refused:
        plan_of()
    assert len(refused.value.waiting) == 2


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_manifest_of_before_that_lists_such_a_name_blocks_nothing(project, name: str) -> None:
    add(f"Movies/{name}.mrcs")
    commit(plan_of())
    text = f"1\tMovies/a.mrcs\n1\tMovies/{name}.mrcs\n2\tMovies/b.mrcs\n"
    Path("Import/job001", MANIFEST).write_bytes(os.fsencode(text))
    assert read_manifest("Import/job001") == {1: ["Movies/a.mrcs"], 2: ["Movies/b.mrcs"]}
    assert imported(plan_of()) == ["Movies/a.mrcs", "Movies/b.mrcs"] and len(plan_of().waiting) == 1
    os.rename(f"Movies/{name}.mrcs", "Movies/mended.mrcs")
    plan = plan_of()
    assert imported(plan)[-1] == "Movies/mended.mrcs" and not plan.waiting
    commit(plan)
    assert read_manifest("Import/job001")[3] == ["Movies/mended.mrcs"]


@pytest.mark.parametrize("text", ["x\tMovies/a.mrcs\n", "1\t../a.mrcs\n", "1\t/data/a.mrcs\n", "1\t\n", "\n", "\xff\n",
                                  "٣\tMovies/a.mrcs\n", "1\tMovies/a.mrcs\n2\tMovies/../../b.mrcs\n"])
def test_a_damaged_manifest_is_named(project, text: str) -> None:
    commit(plan_of())
    Path("Import/job001", MANIFEST).write_bytes(text.encode("utf-8" if "٣" in text else "latin-1"))
    with pytest.raises(CryosnakeError, match=r"Import/job001/manifest\.tsv: "):
        plan_of()


@pytest.mark.parametrize(("first", "second"), [
    ("sessionA/MotionCorr/job002/m.mrcs", "sessionB/MotionCorr/job002/m.mrcs"),
    ("raw/job001_grid1/m.mrcs", "raw/job001_grid2/m.mrcs"),
    ("raw/job123/m.mrcs", "raw/job124/m.mrcs"),
    ("Movies/m.mrcs", "job001/Movies/m.mrcs"),
    ("Movies/m.1.mrcs", "Movies/m_1.mrcs"),
])
def test_no_two_movies_share_their_products(project, first: str, second: str) -> None:
    first, second = sorted((first, second))
    add(first, second)
    plan = plan_of()
    assert first in imported(plan) and second not in imported(plan)
    assert plan.waiting == ((second, f"would get the same products as {first}; rename one of them"),)
    products = [product_files(job, ["{root}.mrc"], name)[0] for name in imported(plan)
                for job in ("MotionCorr/job002", "CtfFind/job003")]
    assert len(set(products)) == len(products)
    commit(plan)
    assert plan_of().waiting == plan.waiting
    os.rename(second, "Movies/mended.mrcs")
    assert "Movies/mended.mrcs" in imported(plan_of()) and not plan_of().waiting


@pytest.mark.parametrize("key", ["gain", "defects", "mtf"])
def test_a_file_that_the_config_names_is_there_and_is_no_movie(project, key: str) -> None:
    with pytest.raises(CryosnakeError, match=rf"{key}: .* Movies/c\.mrcs does not exist"):
        refuse_unusable(plan_of(**{key: "Movies/c.mrcs"}))
    add("Movies/c.mrcs")
    plan = plan_of(**{key: "./Movies/c.mrcs"})
    assert imported(plan) == ["Movies/a.mrcs", "Movies/b.mrcs"] and not plan.waiting
    commit(plan)
    os.unlink("Movies/c.mrcs")  # archived with the movies: what is finished stays
    assert plan_of(**{key: "./Movies/c.mrcs"}).jobs["motion"].path == "MotionCorr/job002"
