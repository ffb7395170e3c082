"""Data model of a job type: the single source of rules, job.star, help, schema, docs and clean-up.

Standard library only: every SLURM job parses the Snakefile again and imports this.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, make_dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

from cryosnake.jobs.kinds.files import FileKind, Format
from cryosnake.names import is_listed_name


@dataclass(frozen=True)
class NodeType:
    """A kind of file that passes between jobs: RELION 3.1's integer, the label of RELION 4/5, and its formats."""

    name: str
    relion3: int
    label: str
    formats: tuple[str, ...] = (Format.STAR,)


_VOLUME = (Format.MRC_VOLUME,)
MOVIES = NodeType("movies", 0, "MicrographMovieGroupMetadata.star.relion")
MICROGRAPHS = NodeType("micrographs", 1, "MicrographGroupMetadata.star.relion")
COORDINATES = NodeType("coordinates", 2, "MicrographCoordsGroup.star.relion", (Format.STAR, Format.TEXT))
PARTICLES = NodeType("particles", 3, "ParticleGroupMetadata.star.relion")
REFERENCES_2D = NodeType("references_2d", 5, "Image2DGroupMetadata.star.relion",
                         (Format.STAR, Format.MRC_STACK, Format.MRC_IMAGE, Format.MRC_VOLUME))
MAP = NodeType("map", 6, "DensityMap.mrc", _VOLUME)
MASK = NodeType("mask", 7, "Mask3D.mrc", _VOLUME)
MODEL = NodeType("model", 8, "ProcessData.star.relion.model")
OPTIMISER = NodeType("optimiser", 9, "OptimiserData.star.relion")
HALF_MAP = NodeType("half_map", 10, "DensityMap.mrc.halfmap", _VOLUME)
FINAL_MAP = NodeType("final_map", 11, "DensityMap.mrc.relion.postprocess", _VOLUME)
LOCAL_RESOLUTION = NodeType("local_resolution", 12, "Image3D.mrc.localresmap", _VOLUME)
LOG = NodeType("log", 13, "LogFile.pdf.relion", ())
POSTPROCESS = NodeType("postprocess", 14, "ProcessData.star.relion.postprocess")
POLISH_PARAMETERS = NodeType("polish_parameters", 15, "ParamsData.txt.relion.polish", (Format.TEXT,))
PICKER = NodeType("picker", 98, "MlModel.npz.cryosnake.picker", (Format.ARRAYS,))  # no RELION has the number

NODE_TYPES = (MOVIES, MICROGRAPHS, COORDINATES, PARTICLES, REFERENCES_2D, MAP, MASK, MODEL, OPTIMISER, HALF_MAP,
              FINAL_MAP, LOCAL_RESOLUTION, LOG, POSTPROCESS, POLISH_PARAMETERS, PICKER)


@dataclass(frozen=True, eq=False)
class Parameter:
    """One option of a job type.

    `kind` is bool, int, float, str, or `list[int]`, `list[float]`, `list[str]` (with `length` when it is fixed), or
    `dict[str, str]`, a mapping of at most `length` names to texts, of which each goes to two variables of job.star
    (`relion="param{number}_label,param{number}_value"`).
    A default of None means "not set". `relion` is the variable in RELION's job.star; where RELION's value differs in
    form, `relion_values` maps ours to RELION's text; a list writes one variable per item when `relion` has names
    separated by commas ("patch_x,patch_y"), and `relion_values` may then have as many texts, separated by commas;
    `relion_switch` is a variable that is Yes when the value is set (and not
    false) and No otherwise. `microscope` names the key of the config's `microscope:` block that supplies the default,
    `config_key` a key at the config's top that does. `identity=False` marks options that change no result: they make
    no new job. `chosen_from` names the slots, the first that is filled, from whose contents a person chooses these
    numbers: they hold for those contents only (`project/planning/choices.py`).

    What else is looked at before anything runs: `check` is a function that says what is wrong with a value, "" if
    nothing is (`jobs/kinds/values.py`); `at_most` names a parameter that this one must not exceed (unless that one may
    be -1, for no limit, and is not positive), or a slot in whose images it must fit, in Å or px as its `unit` says;
    `file` is the kind of file that a text names (`jobs/kinds/files.py`).
    """

    name: str
    kind: Any
    default: Any
    help: str
    _: KW_ONLY
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    length: int = 0
    required: bool = False
    advanced: bool = False
    identity: bool = True
    microscope: str = ""
    config_key: str = ""
    relion: str = ""
    relion_values: dict[Any, str] = field(default_factory=dict)
    relion_switch: str = ""
    check: Callable[[Any], str] | None = None
    at_most: str = ""
    file: FileKind | None = None
    chosen_from: tuple[str, ...] = ()

    @property
    def value_type(self) -> Any:
        """`kind`, or None too where the option may be left unset."""
        return self.kind if self.default is not None or self.required else self.kind | None


@dataclass(frozen=True, eq=False)
class Slot:
    """An input of a job type.

    `relion` is the variable in job.star that holds the file name; where RELION wants another output of the job that
    fills the slot, `relion_output` names it; `relion_outputs` does where a parameter is set, "" for none at all, and
    the first that is set counts. Where the variable of the slot `relion_unless` has a file, this one's stays empty.
    `relion_switch` is Yes when the slot is filled, and then `relion_also` are values of other variables. `images` says
    whether the program opens the images that the file lists. `listed` is the key of the config whose list fills this
    slot and the next ones with the same `listed`.
    """

    name: str
    types: tuple[NodeType, ...]
    help: str
    _: KW_ONLY
    required: bool = True
    relion: str = ""
    relion_output: str = ""
    relion_outputs: Mapping[str, str] = field(default_factory=dict)
    relion_unless: str = ""
    relion_switch: str = ""
    relion_also: Mapping[str, str] = field(default_factory=dict)
    images: bool = True
    listed: str = ""


@dataclass(frozen=True, eq=False)
class Output:
    """A file that a job makes and that other jobs may use: its name below the job directory and its node type.

    `name` is what a config writes after the dot (`refine.map`). `when` names a parameter (or input slot) that must be
    set, and not false, for the file to be made. In a file name, `{parameter}` is replaced by the parameter's value
    (`{iterations:03d}` formats). `each` names a parameter that says how many such files there are: `{number}` in name
    and file counts them from 1 (`JobType.all_outputs`).
    """

    name: str
    file: str
    node: NodeType
    _: KW_ONLY
    label: str = ""  # appended to the node type's RELION 4/5 label, with a dot
    when: str = ""
    each: str = ""

    def numbered(self, number: int) -> Output:
        """Return the output with this number, other fields of its file name unchanged."""
        file = re.sub(r"\{number(:[^}]*)?\}", lambda found: found[0].format(number=number), self.file)
        return replace(self, name=self.name.format(number=number), file=file, each="")

    def all_numbers(self, values: Mapping[str, Any]) -> list[Output]:
        """Return the output once per number, for these parameter values; or once, if it has none."""
        return [self.numbered(n + 1) for n in range(values[self.each])] if self.each else [self]


@dataclass(frozen=True, kw_only=True, eq=False)  # nothing compares them
class Resources:
    """What the first attempt requests from Snakemake; one that had too little memory or time is repeated with more.

    `threads` is what a job asks for where jobs run on other computers; on this one it takes up to `most_threads` of
    the cores that Snakemake was given. `maps` is the number of padded maps that a process refines, or the parameter
    that gives it: memory then depends on the box (project/planning/memory.py), and `mem_mb` applies if the box is not
    known. Where the number of ranks is a multiple of `maps_shared`, each rank holds only that part of the maps.
    `thread_maps_mb` limits the private volumes of a process's threads. `voxel_bytes` is what a process that only
    predicts particles takes for each voxel of the box.
    """

    threads: int = 1
    most_threads: int = 0  # none: always `threads`
    mem_mb: int = 2000
    runtime: int = 60  # minutes
    gpu: bool = False  # the program can use one; the `device` parameter decides
    maps: str = ""
    maps_shared: int = 0
    thread_maps_mb: int = 0
    voxel_bytes: int = 0
    local: bool = False  # so short that a cluster's queue costs more: it runs where snakemake runs


@dataclass(frozen=True)
class CleanUp:
    """Glob patterns below the job directory: what a gentle and a harsh clean-up remove, and intermediate iterations.

    `data` are the files that later jobs open: if they were cleaned and such a job is to run, they are regenerated.
    """

    gentle: tuple[str, ...] = ()
    harsh: tuple[str, ...] = ()
    intermediate: tuple[str, ...] = ()
    data: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)  # each is one object
class JobType:
    """One job type. See docs/adding-a-job-type.md.

    For a per-micrograph type, `products` are the files made from each micrograph: `{root}` is the job directory
    joined with the micrograph's path after the upstream job directory, without extension (`Movies/a.tif` of Import
    becomes `MotionCorr/job002/Movies/a`). A micrograph counts as finished when all of them exist and were made from
    the present input with these parameters. A type that `judges` only says which micrographs go on, by its parameters
    `limits` and `flags`, which a person may change at any time (`project/config/curation.py`): it makes no products,
    and those of its input are passed on. `table` is the block of its output STAR. `declared` names a parameter, a
    mapping, in which the config lists outputs of the job besides `outputs` (see `declared_outputs`). `relion_options`
    are constant values of RELION's job.star (do_raw: Yes). `sublabels` are what RELION 5 adds to `label` where a
    parameter or slot is set (`label_of`). `relion_leads`: RELION divides it only among an odd number of MPI ranks, at
    least three, of which one leads. `panels` are the pictures drawn from the results, by
    their names in `report/job_pictures.py`, if the parameter `panels_when` (where one is named) is set. `topic` is the
    file in rules/ with the type's rule, and the category of its pictures in a report. `by_hand` says that its results
    are what a person did, in files of `decisions/<job>/`, for which it waits (`project/planning/by_hand.py`).
    """

    name: str
    folder: str
    relion3: int
    label: str
    title: str
    description: str
    inputs: tuple[Slot, ...]
    outputs: tuple[Output, ...]
    parameters: tuple[Parameter, ...]
    program: str  # "module:function" that does the work
    per_micrograph: bool = False
    judges: bool = False
    products: tuple[str, ...] = ()
    table: str = "micrographs"
    declared: str = ""
    sublabels: tuple[tuple[str, str], ...] = ()
    relion_options: dict[str, str] = field(default_factory=dict)
    relion_leads: bool = False
    resources: Resources = Resources()
    clean: CleanUp = CleanUp()
    deterministic: bool = True
    topic: str = "other"
    panels: tuple[str, ...] = ()
    panels_when: str = ""
    by_hand: bool = False
    references: tuple[str, ...] = ()

    @cached_property
    def options(self) -> type[Any]:
        """The frozen dataclass of its options, a field per parameter; `jobs/options.py` has those of all types."""
        return make_dataclass(f"{self.folder}Options", [(p.name, p.value_type, _default(p)) for p in self.parameters],
                              frozen=True, kw_only=True, namespace={"__module__": "cryosnake.jobs.options"})

    def parameter(self, name: str) -> Parameter:
        """Return the parameter of this name; KeyError if there is none."""
        return _named(self.parameters, name)

    def label_of(self, is_set: Mapping[str, Any]) -> str:
        """Return RELION 5's label in full, with the suffix of the first parameter or slot that is set."""
        suffix = next((suffix for name, suffix in self.sublabels
                       if not name or is_set.get(name) not in (None, False)), "")
        return f"{self.label}.{suffix}" if suffix else self.label

    def slot(self, name: str) -> Slot:
        """Return the input slot of this name; KeyError if there is none."""
        return _named(self.inputs, name)

    def output(self, name: str) -> Output:
        """Return the output of this name; KeyError if there is none."""
        return _named(self.outputs, name)

    def all_outputs(self, values: Mapping[str, Any]) -> list[Output]:
        """Return the outputs for these parameter values, numbered ones once per number, and declared ones.

        ValueError when a declaration is wrong.
        """
        found = [each for output in self.outputs for each in output.all_numbers(values)]
        return found + (declared_outputs(values[self.declared] or {}) if self.declared else [])


def declared_outputs(entries: Mapping[str, str]) -> list[Output]:
    """Return the outputs that a config declares: `particles: particles.star`, or `good: sub/good.star:particles`.

    The name is that of a node type, unless a type follows the file.

    Raises
    ------
    ValueError
        for an unknown type, or a file outside the job directory
    """
    types = {node.name: node for node in NODE_TYPES if node.label}
    found = []
    for name, text in entries.items():
        file, colon, kind = text.rpartition(":")
        file, kind = (file, kind) if colon else (text, name)
        if kind not in types:
            raise ValueError(f"output {name}: there is no node type {kind!r}; write {name}: FILE:TYPE, with one of "
                             f"{', '.join(types)}")
        if not is_listed_name(file) or set("{}") & set(file):
            raise ValueError(f"output {name}: {file!r} must be a file in the job's directory, such as {name}.star, "
                             "without braces")
        if not name.isidentifier():
            raise ValueError(f"output {name!r}: use only letters, digits and underscores in a name")
        found.append(Output(name, file, types[kind]))
    return found


def root_name(values: Mapping[str, Any]) -> str:
    """Return the prefix of a refinement's files: run, or run_ctNN when it continues under RELION's name for that.

    >>> root_name({"run_ct": True, "continue_from": "Class2D/job008/run_it025_optimiser.star"})
    'run_ct25'
    """
    found = re.search(r"_it(\d+)_optimiser\.star$", values.get("continue_from") or "")
    return f"run_ct{int(found[1])}" if found and values.get("run_ct") else "run"


def file_of(output: Output, values: Mapping[str, Any]) -> str:
    """Return an output's file, below the job's directory, for these parameter values."""
    name = output.file.format(**values)
    return root_name(values) + name.removeprefix("run") if name.startswith("run_") else name


def _default(parameter: Parameter) -> Any:
    """Return the default as `make_dataclass` takes it: each options object has a list of its own."""
    if parameter.required:
        return field()
    value = parameter.default
    return field(default_factory=value.copy) if isinstance(value, list) else field(default=value)


_Named = TypeVar("_Named", Parameter, Slot, Output)


def _named(items: tuple[_Named, ...], name: str) -> _Named:
    return {item.name: item for item in items}[name]


DEVICE = Parameter("device", str, "auto", "Where to compute; auto uses a GPU if there is one.",
                   choices=("auto", "cpu", "gpu"), identity=False, advanced=True)
MAX_FAILED = Parameter("max_failed", float, 0.5, "The job fails when more than this fraction of its micrographs"
                       " fail.", minimum=0.0, maximum=1.0, advanced=True, identity=False)
