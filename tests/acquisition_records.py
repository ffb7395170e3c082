"""Records of microscopes as SerialEM and EPU write them, with values of choice."""

from __future__ import annotations

ARRAYS = "http://schemas.microsoft.com/2003/10/Serialization/Arrays"
FRACTION = '<a:anyType><b:EndFrameNumber>9</b:EndFrameNumber></a:anyType>'


def mdoc(section: str = "[FrameSet = 0]", voltage: str = "Voltage = 300", **values: str) -> str:
    """Return an .mdoc of one movie; values replace or add lines, "" leaves them out."""
    usual = {"Magnification": "105000", "ExposureDose": "0", "PixelSpacing": "0.83", "Binning": "1",
             "SubFramePath": r"X:\frames\g1_0001.tif", "NumSubFrames": "40", "FrameDosesAndNumber": "1.25 40",
             "DateTime": "23-Dec-17  13:20:32", "RotationAndFlip": "7"}
    lines = [f"{key} = {value}" for key, value in (usual | values).items() if value]
    return "\r\n".join(["T = SerialEM: K3 at a Krios", voltage, "", section, *lines, ""])


def epu(*, voltage: str = "300000", pixel: str = "8.7077e-11", dose: str = "3.0430622179514924E+21", width: int = 4096,
        fractions: int = 22, more: str = "") -> str:
    """Return EPU's XML of an exposure, as version 2.6 writes it; `more` stands at the end."""
    return (
        '<MicroscopeImage xmlns="http://schemas.datacontract.org/2004/07/Fei.SharedObjects" '
        f'xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><CustomData xmlns:a="{ARRAYS}">'
        "<a:KeyValueOfstringanyType><a:Key>DoseOnCamera</a:Key><a:Value>23.07</a:Value></a:KeyValueOfstringanyType>"
        f"<a:KeyValueOfstringanyType><a:Key>Dose</a:Key><a:Value>{dose}</a:Value></a:KeyValueOfstringanyType>"
        '</CustomData><Scale i:nil="true"/><SpatialScale><offset><x><numericValue>0</numericValue></x></offset>'
        f"<pixelSize><x><numericValue>{pixel}</numericValue></x><y><numericValue>1</numericValue></y></pixelSize>"
        "</SpatialScale><microscopeData><acquisition><camera><CameraSpecificInput xmlns:a='" + ARRAYS + "'>"
        "<a:KeyValueOfstringanyType><a:Key>FractionationSettings</a:Key><a:Value xmlns:b='urn:b'><b:DoseFractions>"
        f"{FRACTION * fractions}</b:DoseFractions></a:Value></a:KeyValueOfstringanyType></CameraSpecificInput>"
        f"<ReadoutArea xmlns:a='urn:d'><a:height>9</a:height><a:width>{width}</a:width></ReadoutArea></camera>"
        f"</acquisition><gun><AccelerationVoltage>{voltage}</AccelerationVoltage></gun></microscopeData>{more}"
        "</MicroscopeImage>")
