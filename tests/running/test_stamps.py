"""From what products are made: files that are there, were cleaned, or are gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cryosnake.jobs.registry import job_types
from cryosnake.project.records.cleaned_files import RECORD
from cryosnake.running.stamps import stamper

INPUT = Path("CtfFind/job003/batches/0001.star")


@pytest.fixture
def product(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for folder in ("CtfFind/job003/Movies", "MotionCorr/job002/Movies"):
        Path(folder).mkdir(parents=True)
    product = Path("CtfFind/job003/Movies/a.ctf")
    product.write_bytes(b"12345")
    os.utime(product, ns=(7, 7))
    return product


def test_a_cleaned_product_counts_as_it_was(product) -> None:
    stamp = stamper(job_types()["extract"], {"micrographs": INPUT})
    name = "MotionCorr/job002/Movies/a.mrc"
    assert stamp(name) == "5:7"
    product.unlink()
    assert stamp(name) == ""
    Path("CtfFind/job003", RECORD).write_text("Movies/a.ctf\t5\t7\n")
    assert stamper(job_types()["extract"], {"micrographs": INPUT})(name) == "5:7"
