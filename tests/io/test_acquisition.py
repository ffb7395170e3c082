"""What SerialEM and EPU leave beside movies is read by its meaning, or passed over."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from acquisition_records import epu, mdoc

from cryosnake.io.acquisition.beside import read_acquisition
from cryosnake.io.acquisition.epu import read_epu
from cryosnake.io.acquisition.mdoc import read_mdoc


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("text", "values"), [
    (mdoc(), {"voltage": 300.0, "pixel_size": 0.83, "dose": 50.0, "frames": 40, "spherical_aberration": 0}),
    (mdoc(FrameDosesAndNumber="0 18", NumSubFrames="18"), {"dose": 0, "frames": 18}),  # not calibrated
    (mdoc(FrameDosesAndNumber="", ExposureDose="34.9645", NumSubFrames="35"), {"dose": 34.9645, "frames": 35}),
    (mdoc(FrameDosesAndNumber="", FrameDosesAndNumbers="1 10 0.5 20", NumSubFrames=""), {"dose": 20.0, "frames": 30}),
    (mdoc(section="[ZValue = 0]", voltage="[T = a title]\nVoltage = 200"), {"voltage": 200.0, "frames": 40}),
    (mdoc(SphericalAberration="2.62"), {"spherical_aberration": 2.62}),
    (mdoc(PixelSpacing="x", NumSubFrames="-1", FrameDosesAndNumber="1 y", voltage="Voltage = 300000"),
     {"voltage": 0, "pixel_size": 0, "dose": 0, "frames": 0}),
])
def test_values_of_an_mdoc(text: str, values: dict[str, Any]) -> None:
    Path("a.mdoc").write_text(text)
    found = read_mdoc("a.mdoc")
    assert found is not None
    assert {name: getattr(found, name) or 0 for name in values} == pytest.approx(values)


def test_the_section_of_the_movie_is_taken() -> None:
    """Frames of a session may have one .mdoc with a section for each movie."""
    first, second = mdoc(), mdoc(section="[FrameSet = 1]", SubFramePath=r"\\server\x\g1_0002.tif", PixelSpacing="1.1")
    Path("all.mdoc").write_text(first + "\n" + second.partition("\r\n\r\n")[2])
    for movie, pixel_size in (("Movies/g1_0002.tiff", 1.1), ("g1_0001.mrc", 0.83), ("other.tif", 0.83), ("", 0.83)):
        found = read_mdoc("all.mdoc", movie)
        assert found is not None and (found.pixel_size, found.voltage) == (pixel_size, 300.0)


@pytest.mark.parametrize(("text", "values"), [
    (epu(), {"voltage": 300.0, "pixel_size": 0.87077, "dose": 30.430622, "frames": 22, "width": 4096}),
    (epu(voltage="200000", fractions=0), {"voltage": 200.0, "frames": 0, "dose_per_frame": 0}),
    (epu(fractions=0, more="<b:NumberOffractions xmlns:b='urn:b'>30</b:NumberOffractions>"), {"frames": 30}),
    (epu(voltage="", pixel="nan", dose="-1"), {"voltage": 0, "pixel_size": 0, "dose": 0, "frames": 22}),
    ('<?xml version="1.0" encoding="utf-8"?>\n<x:MicroscopeImage xmlns:x="urn:x"/>', {"voltage": 0, "frames": 0}),
])
def test_values_of_epu(text: str, values: dict[str, Any]) -> None:
    Path("a.xml").write_text(text)
    found = read_epu("a.xml")
    assert found is not None and found.spherical_aberration is None
    assert {name: getattr(found, name) or 0 for name in values} == pytest.approx(values, rel=1e-6)


ENTITIES = "<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
    f"<!ENTITY {name} '{f'&{before};' * 10}'>" for before, name in zip("abcdefgh", "bcdefghi", strict=True)) + "]>"


@pytest.mark.parametrize("data", [
    epu().encode()[:700], b"<MicroscopeImage>", b"", b"\x89PNG\r\n\x1a\n", b"<MicroscopeImage>&nbsp;</MicroscopeImage>",
    (ENTITIES + "<MicroscopeImage>&i;</MicroscopeImage>").encode(), (ENTITIES + epu()).encode("utf-16"),
    b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><MicroscopeImage/>', b"<Acquisition><Info/></Acquisition>",
    b'<?xml version="1.0" encoding="none"?><MicroscopeImage/>', b"<a>" * 300_000, epu(more=" " * (1 << 20)).encode(),
])
def test_what_is_no_exposure_of_epu_is_passed_over(data: bytes) -> None:
    Path("a.xml").write_bytes(data)
    start = time.monotonic()
    assert read_epu("a.xml") is None
    assert time.monotonic() - start < 2.0


def test_many_levels_and_long_texts_cost_little() -> None:
    Path("a.xml").write_text(epu(more="<a>" * 100_000 + "x" * 100_000 + "</a>" * 100_000))
    start = time.monotonic()
    found = read_epu("a.xml")
    assert found is not None and found.voltage == 300.0 and time.monotonic() - start < 2.0


def test_files_that_are_no_mdoc_are_passed_over() -> None:
    os.mkfifo("pipe.mdoc")
    Path("folder.mdoc").mkdir()
    Path("binary.mdoc").write_bytes(bytes(range(256)) * 100)
    Path("large.mdoc").write_text(mdoc() + "\n" * (1 << 20))
    for name in ("pipe", "folder", "binary", "large", "missing"):
        found = read_mdoc(f"{name}.mdoc")
        assert found is None or (found.voltage, found.pixel_size, found.dose_per_frame) == (None, None, None)


@pytest.mark.parametrize(("movie", "record"), [
    ("m.tif", "m.tif.mdoc"), ("m.mrc", "m.mrc.mdoc"), ("m.tif", "m.mdoc"), ("m.tiff", "m.mrc.mdoc"),
    ("m.eer", "m.eer.mdoc"), ("F_1_Fractions.mrc", "F_1.xml"), ("F_1_fractions.tiff", "F_1_fractions.xml"),
    ("F_1_EER.eer", "F_1.xml"), ("F_1.eer", "F_1.xml"),
])
def test_records_are_found_by_the_movies_name(movie: str, record: str) -> None:
    Path("session").mkdir()
    Path("session", movie).touch()
    Path("linked.tif").symlink_to(f"session/{movie}")
    assert read_acquisition(f"session/{movie}") is None
    Path("session", record).write_text(mdoc() if record.endswith("mdoc") else epu())
    for name in (f"session/{movie}", "linked.tif"):
        found = read_acquisition(name)
        assert found is not None and os.path.samefile(found.path, f"session/{record}") and found.voltage == 300.0


def test_another_kind_of_record_is_passed_over() -> None:
    Path("F_Fractions.xml").write_text("<Acquisition><Info><FileVersion>3</FileVersion></Info></Acquisition>")
    Path("F.xml").write_text(epu(voltage="200000"))
    found = read_acquisition("F_Fractions.mrc")
    assert found is not None and (found.path, found.voltage) == ("F.xml", 200.0)
