"""Writing the files of a profile: complete or absent, never over others without permission."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from cryosnake.atomic import replacing
from cryosnake.errors import CryosnakeError


def write_files(folder: Path, files: Mapping[str, str], may_overwrite: Callable[[Path], bool],
                programs: tuple[str, ...] = ()) -> list[Path]:
    """Write texts to files of a folder; `may_overwrite` is asked for each file that exists with different content.

    Raises
    ------
    CryosnakeError
        when a file may not be overwritten (then none is written), or the folder is not writable
    """
    present = [folder / name for name, text in files.items()
               if (folder / name).exists() and (folder / name).read_text(encoding="utf-8") != text]
    for path in present:
        if not may_overwrite(path):
            raise CryosnakeError(f"{path} exists already and is left unchanged; name another folder, or use --force")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            with replacing(folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
                temporary.chmod(0o755 if name in programs else 0o644)
    except OSError as error:
        raise CryosnakeError(f"{error.filename or folder}: can't be written ({error.strerror}); name another "
                             "folder") from error
    return [folder / name for name in files]
