"""The dashboard on a made-up project of 2,000 jobs and 40,000 micrographs: times of pages, and the server's memory.

python benchmarks/web.py [FOLDER]     # FOLDER is made, and kept for the next call
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "pages"))

JOBS, MICROGRAPHS = 2000, 40_000
TABLE = "view/CtfFind/job003/micrographs_ctf.star?block=micrographs"
PAGES = {"first page": "overview", "first page again": "overview", "a job": "job/Class2D/job1996",
         "a job again": "job/Class2D/job1996", "CTF of 40,000": "job/CtfFind/job003", "table": TABLE,
         "sorted": f"{TABLE}&sort=rlnDefocusU", "cut": f"{TABLE}&column=rlnDefocusU&low=9000&high=9500",
         "page 400": f"{TABLE}&page=400", "disc space": "space", "runs": "runs"}


def main() -> None:
    """Print one line for each page."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    if not (folder / "default_pipeline.star").exists():
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        _make()
    with subprocess.Popen([sys.executable, "-m", "cryosnake.cli", "web", str(folder)], stdout=subprocess.PIPE,
                          text=True) as server:
        assert server.stdout is not None
        try:
            _measure(server.pid, server.stdout.readline().strip())
        finally:
            server.terminate()


def _make() -> None:
    """Make the project: one chain of ten jobs has all micrographs, the others try things with sixty."""
    from shown_project import fill, make_project

    make_project(JOBS)
    for name in ("MotionCorr/job002", "CtfFind/job003", "AutoPick/job004"):
        for file in Path(name).glob("*.star"):
            if file.name != "job.star":
                file.unlink()  # it has other names
        fill(Path(name), MICROGRAPHS)


def _measure(pid: int, address: str) -> None:
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    project = ""
    for name, page in PAGES.items():
        began, cpu = time.perf_counter(), _cpu(pid)
        with opener.open(f"{project}/{page}" if project else address) as answer:
            size = len(answer.read())
            project = project or answer.url.rpartition("/")[0]
        print(f"{name:18s} {time.perf_counter() - began:7.3f} s  {_cpu(pid) - cpu:6.2f} CPU s  {size / 1e3:8.0f} kB  "
              f"{_memory(pid):5.0f} MB")


def _cpu(pid: int) -> float:
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().split()[13:15])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> float:
    return int(re.findall(r"VmRSS:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1e3


if __name__ == "__main__":
    main()
