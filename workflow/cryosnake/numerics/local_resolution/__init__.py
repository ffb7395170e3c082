"""Local resolution by windowed FSC, and the locally filtered map."""

from cryosnake.numerics.local_resolution.estimate import LocalResolution, ScanSettings, local_resolution
from cryosnake.numerics.local_resolution.window import Window

__all__ = ["LocalResolution", "ScanSettings", "Window", "local_resolution"]
