"""RELION's process and node types: integers of 3.1, labels of 4 and 5, folders, and conversion between them."""

from __future__ import annotations

from typing import NamedTuple

from cryosnake.jobs.model import NODE_TYPES
from cryosnake.jobs.registry import job_types


class ProcessType(NamedTuple):
    """One kind of job: RELION 3.1's integer, its folder in a project, and the root of its RELION 4/5 label."""

    id: int
    folder: str
    label: str


PROCESS_TYPES = (
    ProcessType(0, "Import", "relion.import"),
    ProcessType(1, "MotionCorr", "relion.motioncorr"),
    ProcessType(2, "CtfFind", "relion.ctffind"),
    ProcessType(3, "ManualPick", "relion.manualpick"),
    ProcessType(4, "AutoPick", "relion.autopick"),
    ProcessType(5, "Extract", "relion.extract"),
    ProcessType(6, "Sort", "relion.sort"),  # RELION 2 only
    ProcessType(7, "Select", "relion.select"),
    ProcessType(8, "Class2D", "relion.class2d"),
    ProcessType(9, "Class3D", "relion.class3d"),
    ProcessType(10, "Refine3D", "relion.refine3d"),
    ProcessType(12, "MaskCreate", "relion.maskcreate"),
    ProcessType(13, "JoinStar", "relion.joinstar"),
    ProcessType(14, "Subtract", "relion.subtract"),
    ProcessType(15, "PostProcess", "relion.postprocess"),
    ProcessType(16, "LocalRes", "relion.localres"),
    ProcessType(17, "MovieRefine", "relion.movierefine"),  # RELION 2 only
    ProcessType(18, "InitialModel", "relion.initialmodel"),
    ProcessType(19, "MultiBody", "relion.multibody"),
    ProcessType(20, "Polish", "relion.polish"),
    ProcessType(11, "Polish", "relion.polish"),  # RELION 2's; after 20, which owns the label
    ProcessType(21, "CtfRefine", "relion.ctfrefine"),
    ProcessType(22, "DynaMight", "dynamight"),
    ProcessType(23, "ModelAngelo", "modelangelo"),
    ProcessType(50, "ImportTomo", "relion.importtomo"),
    ProcessType(51, "PseudoSubtomo", "relion.pseudosubtomo"),
    ProcessType(52, "CtfRefineTomo", "relion.ctfrefinetomo"),
    ProcessType(53, "FrameAlignTomo", "relion.framealigntomo"),
    ProcessType(54, "ReconstructParticleTomo", "relion.reconstructparticletomo"),
    ProcessType(55, "AlignTiltSeries", "relion.aligntiltseries"),
    ProcessType(56, "Tomograms", "relion.reconstructtomograms"),
    ProcessType(57, "ExcludeTiltImages", "relion.excludetilts"),
    ProcessType(58, "Denoise", "relion.denoisetomo"),
    ProcessType(59, "Picks", "relion.picktomo"),
    ProcessType(99, "MapTool", "relion.external.maptool"),  # ours; before External, which owns the number
    ProcessType(99, "TrainPicker", "relion.external.trainpicker"),
    ProcessType(99, "Curate", "relion.external.curate"),
    ProcessType(99, "External", "relion.external"),
)
UNKNOWN_PROCESS = 99  # RELION 3.1 treats an unknown job type as an external program
UNKNOWN_NODE = 99  # not a node type of any RELION; 3.1 lists such a node and offers it to no job

_BY_ID = {kind.id: kind for kind in PROCESS_TYPES}
_ID_BY_LABEL = {kind.label: kind.id for kind in reversed(PROCESS_TYPES)}
_ID_BY_FOLDER = {kind.folder: kind.id for kind in reversed(PROCESS_TYPES)}

_NODE_LABEL_BY_ID = {node.relion3: node.label for node in NODE_TYPES}
_NODE_LABEL_BY_ID.setdefault(4, "")  # movie particles of RELION 2
_NODE_ID_BY_LABEL = {node.label: node.relion3 for node in NODE_TYPES if node.label} | {
    "ProcessData.star.relion.optimiser": 9,  # RELION 4.0's names of two types
    "ProcessData.txt.relion.polish": 15,
}
_OLD_ROOTS = {  # RELION 4.0's first field -> 5.x's
    "ParticlesData": "ParticleGroupMetadata",
    "MicrographMoviesData": "MicrographMovieGroupMetadata",
    "MicrographsData": "MicrographGroupMetadata",
    "MicrographsCoords": "MicrographCoordsGroup",
    "ImagesData": "Image2DGroupMetadata",
    "OptimisationSet": "TomoOptimisationSet",
    "TomogramData": "TomogramGroupMetadata",
    "TrajectoryData": "TomoTrajectoryData",
}


def type_folders() -> set[str]:
    """Return the folders of all types of jobs: those of RELION, and those of this package and its plug-ins."""
    return {job_type.folder for job_type in job_types().values()} | {kind.folder for kind in PROCESS_TYPES}


def process_label_of(type_id: int, folder: str = "") -> str:
    """Return the RELION 4/5 label of a process type of 3.1; `relion.external` if the integer is unknown.

    The folder decides among types that share an integer, as those of this package do with External.
    """
    shared = (kind.label for kind in PROCESS_TYPES if (kind.id, kind.folder) == (type_id, folder))
    return next(shared, _BY_ID.get(type_id, _BY_ID[UNKNOWN_PROCESS]).label)


def process_id_of(label: str, folder: str = "") -> int:
    """Return RELION 3.1's integer of a label, however deep its suffixes; the folder decides for unknown labels."""
    known = _longest_known(label, _ID_BY_LABEL)
    return known if known is not None else _ID_BY_FOLDER.get(folder, UNKNOWN_PROCESS)


def node_label_of(type_id: int) -> str:
    """Return the RELION 5 label of a node type of 3.1; empty if there is none."""
    return _NODE_LABEL_BY_ID.get(type_id, "")


def node_id_of(label: str) -> int:
    """Return RELION 3.1's integer of a node label, however deep its suffixes."""
    known = _longest_known(label, _NODE_ID_BY_LABEL)
    return UNKNOWN_NODE if known is None else known


def modern_node_label(label: str) -> str:
    """Return the RELION 5 form of a node label of RELION 4.0; other labels are returned as they are."""
    root, dot, rest = label.partition(".")
    return _OLD_ROOTS.get(root, root) + dot + rest


def _longest_known(label: str, table: dict[str, int]) -> int | None:
    while label:
        if label in table:
            return table[label]
        label = label.rpartition(".")[0]
    return None
