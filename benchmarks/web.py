"""The dashboard on a made-up project of 2,000 jobs and 40,000 micrographs: times of pages, and the server's memory.

python benchmarks/web.py [FOLDER]     # FOLDER is made, and kept for the next call

With chromedriver also the time from the change of a file to the change in a page that shows it.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "pages"))

JOBS, MICROGRAPHS, BATCH = 2000, 40_000, 50
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
            address = server.stdout.readline().strip()
            _measure(server.pid, address)
            _measure_events(folder, server.pid, address)
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
    _make_products()


def _make_products() -> None:
    """Make what a session leaves for each micrograph: a sum, a table of picks, and the records of its batches."""
    from shown_project import write_star

    Path("gone").mkdir()
    write_star(Path("gone/0.star"), {"": {"rlnCoordinateX": [10.0] * 200, "rlnCoordinateY": [5.0] * 200}})
    Path("MotionCorr/job002/Movies").mkdir()
    Path("MotionCorr/job002/Movies/0.mrc").write_bytes(b"0")
    for number in range(1, MICROGRAPHS):
        os.link("gone/0.star", f"gone/{number}.star")
        os.link("MotionCorr/job002/Movies/0.mrc", f"MotionCorr/job002/Movies/{number}.mrc")
    for job, found in (("MotionCorr/job002", ""), ("CtfFind/job003", ""), ("AutoPick/job004", "200 picks")):
        Path(job, "batches").mkdir()
        for batch in range(MICROGRAPHS // BATCH):
            names = range(batch * BATCH, (batch + 1) * BATCH)
            Path(job, "batches", f"{batch + 1:04d}.done").write_text(
                "".join(f"Movies/m{number:04d}.mrc\t1:1:a\tok\t{found}\n" for number in names))


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


def _measure_events(folder: Path, pid: int, address: str) -> None:
    """Print how long lines of a log, each written at another moment of a second, take to be in an open page."""
    from browser import browser

    driver = shutil.which("chromedriver")
    if driver is None:
        return
    log, taken = folder / "Refine3D/job1998/run.out", []
    with browser(driver) as window:
        window.go(address)
        overview = str(window.wait("location.pathname.endsWith('/overview') && location.href"))
        window.go(overview.replace("/overview", "/job/Refine3D/job1998"))
        time.sleep(3)
        for number in range(10):
            text = f"iteration {number}, at {time.time()}"
            log.unlink(missing_ok=True)
            log.write_text(f"{text}\n")
            began = time.perf_counter()
            window.wait(f"document.querySelector('.log')?.textContent.includes('{text}')")
            taken.append(time.perf_counter() - began)
            time.sleep(1.13)
        before, cpu = time.perf_counter(), _cpu(pid)
        time.sleep(10)
        watched = (_cpu(pid) - cpu) / (time.perf_counter() - before)
    print(f"event to page      {statistics.median(taken):7.3f} s in the median, {max(taken):.3f} s at most; watching "
          f"costs {1000 * watched:.0f} ms of CPU a second")


def _cpu(pid: int) -> float:
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().split()[13:15])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> float:
    return int(re.findall(r"VmRSS:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1e3


if __name__ == "__main__":
    main()
