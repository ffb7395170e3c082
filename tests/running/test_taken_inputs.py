"""A job reads the rows with which it first started, and continues from the iterations that it made from them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cryosnake import digests
from cryosnake.digests import digest
from cryosnake.io.star_rows import count_rows
from cryosnake.jobs.registry import job_types
from cryosnake.project.records.batches import batch_star
from cryosnake.project.records.joined_tables import record_joined, write_joined
from cryosnake.project.records.known_files import as_found, note_files
from cryosnake.project.records.record import JobRecord, read_record, write_record
from cryosnake.project.records.taken_inputs import taken_inputs
from cryosnake.running.resume import resume

EXTRACT, OUT = "Extract/job002", Path("Class2D/job003")
TABLE = Path(EXTRACT, "particles.star")
INPUTS = {"particles": TABLE}
SECOND = 1_000_000_000  # ns


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> None:
    """A job that has started on a table of two batches, and made an iteration."""
    monkeypatch.chdir(tmp_path)
    Path(EXTRACT, "batches").mkdir(parents=True)
    OUT.mkdir(parents=True)
    write_record(OUT, JobRecord(type="class2d", name="classes", stated={}, parameters={}, version="", created=0.0,
                                inputs={"particles": f"{EXTRACT}:particles"}))
    join("0001", "0002")
    os.utime(TABLE, ns=(SECOND, SECOND))
    assert taken_inputs(OUT, INPUTS) == INPUTS
    iteration = OUT / "run_it004_optimiser.star"
    iteration.touch()
    os.utime(iteration, ns=(2 * SECOND, 2 * SECOND))


def join(*keys: str) -> None:
    for key in keys:
        rows = "".join(f"{number}@{key}.mrcs\n" for number in range(5))
        Path(batch_star(EXTRACT, key)).write_text(f"data_particles\n\nloop_\n_rlnImageName #1\n{rows}\n")
    write_joined(TABLE, "particles", [batch_star(EXTRACT, key) for key in keys])
    record_joined(str(TABLE), keys)


def continues_from(taken: dict[str, Path]) -> str | None:
    found: str | None = resume(job_types()["class2d"].options(particle_diameter=100.0), taken, OUT).continue_from
    return found


def test_a_table_that_grew_is_had_as_it_was(capsys) -> None:
    before, record = TABLE.read_text(), read_record(OUT)
    join("0001", "0002", "0003")
    taken = taken_inputs(OUT, INPUTS)
    assert taken["particles"].read_text() == before and count_rows(TABLE) == 15
    assert "it ends on the 10 rows of then" in capsys.readouterr().out
    assert read_record(OUT) == record
    assert continues_from(taken) == str(OUT / "run_it004_optimiser.star")
    assert not continues_from(INPUTS), "the table itself is newer"
    assert taken_inputs(OUT, INPUTS) == taken


def test_a_revision_of_a_batch_does_not_change_it() -> None:
    before = TABLE.read_text()
    join("0001", "0002.r2")
    assert taken_inputs(OUT, INPUTS)["particles"].read_text() == before


def test_the_same_contents_under_another_time_do_not_start_it_again() -> None:
    os.utime(TABLE)
    assert continues_from(taken_inputs(OUT, INPUTS)) == str(OUT / "run_it004_optimiser.star")


def test_in_a_copy_of_a_killed_job_the_iterations_are_those_of_its_input() -> None:
    iteration = OUT / "run_it004_optimiser.star"
    note_files(str(OUT), {str(iteration): as_found(str(iteration))})
    os.utime(TABLE, ns=(9 * SECOND, 9 * SECOND))
    os.utime(iteration, ns=(5 * SECOND, 5 * SECOND))
    assert continues_from(taken_inputs(OUT, INPUTS)) == str(iteration)
    TABLE.write_text(TABLE.read_text().replace("0001.mrcs", "0003.mrcs"))
    Path(batch_star(EXTRACT, "0001")).unlink()
    os.utime(TABLE, ns=(9 * SECOND, 9 * SECOND + 1))
    assert not continues_from(taken_inputs(OUT, INPUTS)), "its input is another one of the same size"


def test_what_can_not_be_had_as_it_was_is_taken_as_it_is() -> None:
    join("0001", "0002", "0003")
    Path(batch_star(EXTRACT, "0001")).unlink()
    taken = taken_inputs(OUT, INPUTS)
    assert taken == INPUTS and not continues_from(taken)
    record = read_record(OUT)
    assert record is not None and record.made_from["particles"].rows == 15


@pytest.mark.parametrize("joined_before", [False, True])
def test_batches_that_are_others_now_do_not_stand_in_for_those_of_then(joined_before) -> None:
    if joined_before:
        join("0001", "0002", "0003")
        taken_inputs(OUT, INPUTS)
        os.utime(OUT / ".cryosnake_particles.star")
        (OUT / ".cryosnake_particles.star").write_text("data_particles\n")  # cut short, or of another table
    star = Path(batch_star(EXTRACT, "0001"))
    star.write_text(star.read_text().replace("3@", "7@"))
    write_joined(TABLE, "particles", [batch_star(EXTRACT, key) for key in ("0001", "0002", "0003")][:2 + joined_before])
    taken = taken_inputs(OUT, INPUTS)
    assert taken == INPUTS and not (OUT / ".cryosnake_particles.star").exists()
    record = read_record(OUT)
    assert record is not None and record.made_from["particles"].digest == digest(str(TABLE))


def test_a_job_without_a_record_takes_what_there_is() -> None:
    (OUT / "cryosnake.json").unlink()
    join("0001", "0002", "0003")
    assert taken_inputs(OUT, INPUTS) == INPUTS


def test_large_files_are_digested_in_part(monkeypatch) -> None:
    monkeypatch.setattr(digests, "WHOLE", 1000)
    large = Path("large.mrc")
    large.write_bytes(bytes(1 << 20))
    first = digest(str(large))
    for place in (0, (1 << 19), (1 << 20) - 1):
        content = bytearray(1 << 20)
        content[place] = 1
        large.write_bytes(content)
        assert digest(str(large)) != first
