"""EPU's XML file of an exposure. It may come from anywhere: entities are not expanded, files with a DTD not read."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from xml.parsers import expat

from cryosnake.io.acquisition.record import DOSE, PIXEL_SIZE, VOLTAGE, Acquisition, count, number, read_small

_ROOT = "MicroscopeImage"
_DEEPEST = 12  # elements in one another of which anything is taken
_PER_METRE = 1e10  # Å
_PER_SQUARE_METRE = 1e-20  # electrons per Å²


def read_epu(path: str | os.PathLike[str]) -> Acquisition | None:
    """Return what EPU says of an exposure; None for a file that is not whole, or not of this kind.

    EPU states no Cs, and no number of frames for EER. `…_Fractions.xml` of a Falcon camera is another kind.
    """
    data = read_small(path)
    found = _parsed(data) if data else None
    if found is None:
        return None
    texts = found.texts
    width = count(texts.get("microscopeData/acquisition/camera/ReadoutArea/width"))
    return Acquisition(
        path=os.fspath(path),
        voltage=number(texts.get("microscopeData/gun/AccelerationVoltage"), VOLTAGE, 1e-3),
        pixel_size=number(texts.get("SpatialScale/pixelSize/x/numericValue"), PIXEL_SIZE, _PER_METRE),
        width=width,
        dose=number(found.custom.get("Dose"), DOSE, _PER_SQUARE_METRE),
        frames=found.fractions or count(found.stated_fractions))


@dataclass
class _Found:
    """Texts by the names of the elements around them, below the root; values by keys of CustomData and the like."""

    texts: dict[str, str] = field(default_factory=dict)
    custom: dict[str, str] = field(default_factory=dict)
    fractions: int = 0
    stated_fractions: str = ""


class _Reader:
    def __init__(self) -> None:
        self.found = _Found()
        self._path: list[str] = []
        self._text = ""
        self._key = ""

    def start(self, tag: str, _: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]  # prefixes of namespaces differ
        if not self._path and name != _ROOT:
            raise ValueError(f"its root is {name}")
        self.found.fractions += bool(self._path) and self._path[-1] == "DoseFractions"
        self._path.append(name)
        self._text = ""

    def text(self, text: str) -> None:
        self._text += text

    def end(self, _: str) -> None:
        name, text, found = self._path[-1], self._text.strip(), self.found
        if text and len(self._path) <= _DEEPEST:
            found.texts.setdefault("/".join(self._path[1:]), text)
            if name == "Key":
                self._key = text
            elif name == "Value":
                found.custom.setdefault(self._key, text)
            elif name.lower() == "numberoffractions":
                found.stated_fractions = found.stated_fractions or text
        self._path.pop()
        self._text = ""


def _parsed(data: bytes) -> _Found | None:
    reader, parser = _Reader(), expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError):  # the last for an encoding that is none
        return None
    return reader.found


def _refuse(*_: object) -> None:
    raise ValueError("it has a document type")
