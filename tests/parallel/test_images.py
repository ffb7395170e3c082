"""Readers: stacks, kept and pre-read images, reading ahead, and how much memory is left."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import write_mrc
from cryosnake.io.mrc_sections import read_sections
from cryosnake.parallel import preread as preread_module
from cryosnake.parallel.memory import available_bytes
from cryosnake.parallel.prefetch import read_ahead
from cryosnake.parallel.preread import preread
from cryosnake.parallel.ranks import SingleComputer
from cryosnake.parallel.stacks import KeptImages, StackImages

SHAPE = (20, 6, 6)
IMAGES = np.arange(20.0, dtype=np.float32)[:, None, None] * np.ones((6, 6), np.float32)


def counted():
    asked = []

    def source(rows):
        asked.append(rows.tolist())
        return IMAGES[rows]

    return source, asked


@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.int16, np.uint16])
def test_sections_of_a_stack(tmp_path, dtype) -> None:
    write_mrc(tmp_path / "a.mrcs", IMAGES.astype(dtype), 1.0, stack=True)
    wanted = [5, 6, 7, 2, 3, 3, 19, 0]
    found = read_sections(tmp_path / "a.mrcs", wanted)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, IMAGES[wanted])
    with pytest.raises(CryosnakeError, match="has 20 images; image 21 was requested"):
        read_sections(tmp_path / "a.mrcs", [20])


def test_images_by_name_over_two_stacks(tmp_path) -> None:
    write_mrc(tmp_path / "a.mrcs", IMAGES[:10], 1.0, stack=True)
    write_mrc(tmp_path / "b.mrcs", IMAGES[10:], 1.0, stack=True)
    names = [f"{i % 10 + 1:06d}@{tmp_path}/{'ab'[i // 10]}.mrcs" for i in range(20)]
    checked = []
    stacks = StackImages("p.star", names, 6, lambda star, names, images: checked.append(len(images)))
    rows = np.array([12, 3, 4, 19])
    np.testing.assert_array_equal(stacks(rows), IMAGES[rows])
    assert checked == [4] and stacks.shape == SHAPE
    with pytest.raises(CryosnakeError, match=r"p\.star: the images are 6 × 6 .* rlnImageSize in data_optics is 8"):
        StackImages("p.star", names, 8, lambda *given: None)(rows)


def test_kept_images_are_read_once() -> None:
    source, asked = counted()
    kept = KeptImages(source, SHAPE)
    for rows in (np.array([1, 5]), np.array([5, 2, 1, 2])):
        np.testing.assert_array_equal(kept(rows), IMAGES[rows])
    assert asked == [[1, 5], [2]]


def test_pre_read_images_are_all_there_before_the_first_is_asked_for() -> None:
    source, asked = counted()
    images = preread(source, SHAPE, SingleComputer())
    assert asked == [list(range(20))]
    np.testing.assert_array_equal(images(np.array([7, 3])), IMAGES[[7, 3]])


def test_pre_reading_more_than_there_is_memory_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(preread_module, "available_bytes", lambda: 10**9)
    with pytest.raises(CryosnakeError, match=r"100000 × 256² × 4 bytes = 26\.2 GB .* 1\.0 GB are left"):
        preread(lambda rows: IMAGES, (100_000, 256, 256), SingleComputer())


def test_the_next_block_is_read_while_one_is_used() -> None:
    second_read = threading.Event()

    def source(rows):
        if rows[0] == 4:
            second_read.set()
        return IMAGES[rows]

    with read_ahead(source) as images:
        images.expect_rows(np.arange(10))
        images(np.arange(4))
        assert second_read.wait(10)  # nobody asked for it yet
        np.testing.assert_array_equal(images(np.arange(4, 8)), IMAGES[4:8])
        np.testing.assert_array_equal(images(np.array([19, 1])), IMAGES[[19, 1]])  # out of turn
        np.testing.assert_array_equal(images(np.array([8, 9])), IMAGES[8:10])


def test_a_failure_of_reading_ahead_is_raised_where_the_images_are_asked_for() -> None:
    def source(rows):
        if rows[0] > 0:
            raise CryosnakeError("a.mrcs is cut off")
        return IMAGES[rows]

    with read_ahead(source) as images:
        images.expect_rows(np.arange(10))
        images(np.arange(4))
        with pytest.raises(CryosnakeError, match="cut off"):
            images(np.arange(4, 8))


def test_memory_of_the_machine_and_of_its_control_groups(tmp_path) -> None:
    def machine(name, files):
        root = tmp_path / name
        for path, text in ({"proc/meminfo": "MemTotal: 16000 kB\nMemAvailable: 8000 kB\n"} | files).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return available_bytes(root)

    assert machine("plain", {}) == 8_192_000
    group = "sys/fs/cgroup/system/job"
    version2 = {"proc/self/cgroup": "0::/system/job\n", f"{group}/memory.max": "3000000", f"{group}/memory.current":
                "1000000", f"{group}/memory.stat": "anon 5\ninactive_file 400000\n"}
    assert machine("v2", version2) == 2_400_000
    parent = "sys/fs/cgroup/system"
    outer = {f"{parent}/memory.max": "1500000", f"{parent}/memory.current": "1000000",
             f"{parent}/memory.stat": "anon 5\n"}
    assert machine("outer", version2 | outer) == 500_000
    unlimited = version2 | {f"{group}/memory.max": "max"}
    assert machine("unlimited", unlimited) == 8_192_000
    group = "sys/fs/cgroup/memory/slurm/job"
    version1 = {"proc/self/cgroup": "9:cpu:/\n5:memory:/slurm/job\n", f"{group}/memory.limit_in_bytes": "2000000",
                f"{group}/memory.usage_in_bytes": "500000", f"{group}/memory.stat": "total_inactive_file 100000\n"}
    assert machine("v1", version1) == 1_600_000
