"""Which panels a job has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cryosnake.pages.blocks.panel import DOUBTFUL, Panel
from cryosnake.pages.panels import (
    after_refinement,
    classes,
    learned_and_joined,
    maps,
    micrographs,
    postprocess,
    refinement,
)
from cryosnake.pages.panels.view import JobView

# Type folders, which RELION's jobs have, too.
PANELS: dict[str, Sequence[Callable[[JobView], Panel | None]]] = {
    "Import": (micrographs.not_imported,),
    "MotionCorr": (micrographs.motion, micrographs.left_out),
    "CtfFind": (micrographs.ctf, micrographs.left_out),
    "ManualPick": (micrographs.picks,),
    "AutoPick": (micrographs.picks, micrographs.left_out),
    "TrainPicker": (learned_and_joined.picker,),
    "JoinStar": (learned_and_joined.joined,),
    "Curate": (micrographs.curated,),
    "Extract": (micrographs.particles, micrographs.left_out),
    "Class2D": (classes.class_averages, refinement.iterations),
    "Select": (classes.selection,),
    "InitialModel": (maps.convergence, maps.map_slices, refinement.iterations),
    "Class3D": (classes.class_maps, maps.map_slices, refinement.iterations),
    "Refine3D": (refinement.refine_fsc, refinement.iterations, refinement.views, maps.map_slices),
    "CtfRefine": (after_refinement.lens,),
    "Polish": (after_refinement.fading,),
    "Subtract": (after_refinement.subtracted,),
    "MaskCreate": (maps.mask,),
    "PostProcess": (postprocess.postprocess_fsc, postprocess.guinier, maps.map_slices),
    "LocalRes": (maps.local_resolution,),
    "MapTool": (maps.map_slices,),
}


def panels_of(job: JobView) -> list[Panel]:
    """Return the panels of a job; in place of one that can't be drawn, one that says why."""
    found = []
    for draw in PANELS.get(job.folder, ()):
        try:
            panel = draw(job)
        except Exception as error:  # a file may be cut off, gone meanwhile, or odd in any way
            reason = f"{type(error).__name__}: {error}".rstrip(".?")
            panel = Panel(title=draw.__name__.replace("_", " ").capitalize(), caption="", level=DOUBTFUL, missing=True,
                          verdict=f"Could not be shown: {reason}. The results themselves are not affected.")
        if panel is not None:
            found.append(panel)
    return found
