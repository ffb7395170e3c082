"""A job by what a user calls it."""

from __future__ import annotations

import os

import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.edit import add_process, set_alias
from cryosnake.pipeline.find_process import find_job
from cryosnake.pipeline.model import Pipeline, Process

JOBS = (("Import/job001/", "movies"), ("CtfFind/job002/", "first"), ("Class2D/job003/", "first"),
        ("Class2D/job1004/", ""), ("Select/job005/", "12"), ("Select/job012/", ""))


@pytest.fixture
def pipeline() -> Pipeline:
    made = Pipeline()
    for name, alias in JOBS:
        made = set_alias(add_process(made, Process(name)), name, alias)
    return made


@pytest.mark.parametrize(("text", "name"), [
    ("1", "Import/job001/"), ("002", "CtfFind/job002/"), ("job003", "Class2D/job003/"), ("1004", "Class2D/job1004/"),
    ("movies", "Import/job001/"), ("Class2D/first", "Class2D/job003/"), ("CtfFind/job002", "CtfFind/job002/"),
    ("./CtfFind/job002/", "CtfFind/job002/"), ("CtfFind/job002/Movies/a.star", "CtfFind/job002/"),
    ("Class2D/first/run_it025_data.star", "Class2D/job003/"), (os.path.abspath("Import/job001"), "Import/job001/"),
    ("job012", "Select/job012/"),
])
def test_a_job_has_many_names(pipeline, text, name) -> None:
    assert find_job(text, pipeline).name == name


@pytest.mark.parametrize(("text", "said"), [
    ("first", r"2 jobs .*CtfFind/job002 \(CtfFind/first\), Class2D/job003 \(Class2D/first\); use one of the paths"),
    ("12", r"2 jobs .*Select/job012 \(no alias\), Select/job005 \(Select/12\)"),
    ("movie", r"no such job in this project; did you mean .*movies.*cryosnake list"), ("77", "no such job"),
    ("", "no such job"),
    ("CtfFind/job003", "no such job.*did you mean"), ("Class2D", "no such job"), ("../job001", "no such job"),
])
def test_what_is_no_job_or_more_than_one_is_refused(pipeline, text, said) -> None:
    with pytest.raises(CryosnakeError, match=said):
        find_job(text, pipeline)
