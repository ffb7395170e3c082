"""Arrays kept in a job's directory with a signature of all that they were computed from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cryosnake.atomic import replacing

_SIGNATURE = "signature"


def read_kept(path: Path, wanted: str) -> dict[str, np.ndarray] | None:
    """Return the arrays of a file that has the signature wanted; None where it is absent, damaged or made otherwise."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as found:
            if str(found[_SIGNATURE]) == wanted:
                return {name: found[name] for name in found.files if name != _SIGNATURE}
    except (OSError, ValueError, KeyError, EOFError):  # absent, or damaged: it is computed again
        return None
    except Exception as error:  # zipfile.BadZipFile and zlib.error are no ValueErrors
        print(f"{path} is damaged ({error}) and computed again")
    return None


def write_kept(path: Path, made_from: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays with their signature, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **{_SIGNATURE: np.array(made_from), **arrays})
