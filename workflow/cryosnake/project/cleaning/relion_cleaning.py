"""RELION's own sets of files for gentle and harsh cleaning (`clean --relion`).

As observed with `relion_pipeliner --gentle_clean N` and `--harsh_clean N` of RELION 3.1.3; our records in `batches/`
stay. Unlike in RELION, NO_HARSH_CLEAN in a job directory also protects it when a single job is cleaned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.model import Pipeline, Status
from cryosnake.project.cleaning.clean_sets import ITERATED
from cryosnake.project.records.disk import BATCHES
from cryosnake.project.records.patterns import matches

_CTF_REFINE = tuple(f"*/*{end}" for end in (
    "_wAcc_optics-group*.mrc", "_xyAcc_optics-group*.mrc", "_aberr-Axx_optics-group_*.mrc",
    "_aberr-Axy_optics-group_*.mrc", "_aberr-Ayy_optics-group_*.mrc", "_aberr-bx_optics-group_*.mrc",
    "_aberr-by_optics-group_*.mrc", "_mag_optics-group_*.mrc", "_fit.star", "_fit.eps"))
_POLISH = ("*/*_FCC_cc.mrc", "*/*_FCC_w0.mrc", "*/*_FCC_w1.mrc")
_CTF_FIND = ("gctf*.out", "gctf*.err", "*/")
# folder: (gentle, harsh)
SETS = {
    "MotionCorr": (("*/*.com", "*/*.err", "*/*.out", "*/*.log"), ("*/",)),
    "CtfFind": (_CTF_FIND, _CTF_FIND),
    "AutoPick": (("*/*.spi",), ("*/*.spi",)),
    "Extract": (("*/*_extract.star",), ("*/",)),
    "MultiBody": ((), ("analyse_component???_bin???.mrc",)),
    "CtfRefine": (_CTF_REFINE, _CTF_REFINE),
    "Polish": (_POLISH, (*_POLISH, "*/*_shiny.mrcs", "*/*_shiny.star")),
    "Subtract": ((), ("subtracted.*",)),
    "PostProcess": (("*masked.mrc",), ("*masked.mrc",)),
}
_DATA_STAR = re.compile(r"(run(?:_ct(\d{1,3}))?_it\d{3})_data\.star$")


def relion_clean_set(pipeline: Pipeline, name: str, level: str, files: Iterable[str]) -> list[str]:
    """Return the files below a job directory that RELION 3.1 would move to its Trash.

    Raises
    ------
    CryosnakeError
        If the job has not succeeded: RELION does not clean others.
    """
    process = pipeline.processes[name]
    if process.status != Status.SUCCEEDED:
        raise CryosnakeError(f"{name} is {process.status.label}: RELION cleans only jobs that have succeeded; leave "
                             "out --relion")
    ours = [file for file in files if not file.startswith(f"{BATCHES}/")]
    patterns = SETS.get(process.folder, ((), ()))[level == "harsh"]
    taken = {file for file in ours if any(matches(file, pattern) for pattern in patterns)}
    if process.folder in ITERATED:
        roots = _iteration_roots(pipeline, name, ours)
        taken |= {file for file in ours if file.startswith(roots)}
    return [file for file in ours if file in taken]


def _iteration_roots(pipeline: Pipeline, name: str, files: Iterable[str]) -> tuple[str, ...]:
    """Return the roots of the iterations with a data.star but the last, as RELION orders them, and those of nodes."""
    found = [match for file in sorted(files) for match in [_DATA_STAR.match(file)] if match]
    found.sort(key=lambda match: len(match[2] or ""))  # run_it*, then run_ct?, run_ct??, run_ct???
    roots = [match[1] for match in found[:-1]]
    return tuple(root for root in roots if not any(f"{name}{root}" in node for node in pipeline.nodes))
