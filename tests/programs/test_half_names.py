"""The names by which the two half maps of a refinement are found."""

import numpy as np
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import write_mrc
from cryosnake.programs.maps.maskcreate_maps import half_names
from cryosnake.programs.maps.postprocess_inputs import read_halves

PAIRS = [
    ("run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc"), ("half1.mrc", "half2.mrc"),
    ("myhalf1model.mrc", "myhalf2model.mrc"), ("J12_003_volume_map_half_A.mrc", "J12_003_volume_map_half_B.mrc"),
    ("x_half_a.mrc", "x_half_b.mrc"), ("emd_1234_half_map_1.map", "emd_1234_half_map_2.map"),
    ("half-map-1.mrc", "half-map-2.mrc"), ("HalfMap1.mrc", "HalfMap2.mrc"), ("a_half_1.mrc", "a_half_2.mrc"),
    ("half_A_sharp.mrc", "half_B_sharp.mrc"),
]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_both_halves_are_found_by_either(tmp_path, first: str, second: str) -> None:
    volumes = np.random.default_rng(0).normal(size=(2, 8, 8, 8)).astype("f4")
    for name, volume in zip((first, second), volumes, strict=True):
        write_mrc(tmp_path / name, volume, 1.5)
    for name in (first, second):
        halves = read_halves(str(tmp_path / name), None)
        np.testing.assert_array_equal([halves.half1, halves.half2], volumes)
        assert (halves.name1, halves.name2) == (str(tmp_path / first), str(tmp_path / second))


@pytest.mark.parametrize("name", ["half1/map.mrc", "map.mrc", "behalf_of_A.mrc", "half_Apo.mrc", "half_map.mrc"])
def test_other_names_are_no_halves(name: str) -> None:
    assert half_names(name) is None
    with pytest.raises(CryosnakeError, match="half_map_1"):
        read_halves(name, None)
