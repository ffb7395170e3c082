"""Local resolution by windowed FSC, and the locally filtered map."""

from cryosnake.numerics.local_resolution.estimate import LocalResolution, local_resolution
from cryosnake.numerics.local_resolution.window import Window

__all__ = ["LocalResolution", "Window", "local_resolution"]
