"""The methods paragraph of a report: what ran, with the values that it ran with, and the papers it rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryosnake.pages.facts.jobs import JobFacts
from cryosnake.project.actions.key_results import Result
from cryosnake.project.records.record import JobRecord

_RELION = "Scheres 2012, J. Struct. Biol. 180, 519-530"
_SNAKEMAKE = "Mölder et al. 2021, F1000Research 10, 33 (Snakemake)"
Values = Mapping[str, Any]
Results = Mapping[str, str]


@dataclass(frozen=True)
class Sentence:
    """One step in words, and the numbers of its references."""

    text: str
    references: tuple[int, ...]


@dataclass(frozen=True)
class Methods:
    """The sentences of a project's way to its result, and the references in the order of their numbers."""

    sentences: list[Sentence]
    references: list[str]


def methods(chain: Sequence[JobFacts]) -> Methods:
    """Return the methods of a chain of jobs, each after those it depends on."""
    references: dict[str, int] = {}
    sentences = [_frame(chain, references)] if chain else []
    for job in chain:
        if job.record is not None:
            numbers = _numbers(references, job.job_type.references if job.job_type else ())
            sentences.append(Sentence(_sentence(job, job.record), numbers))
    return Methods(sentences, list(references))


def _frame(chain: Sequence[JobFacts], references: dict[str, int]) -> Sentence:
    """Return in what the jobs ran."""
    ours = sorted({job.record.version for job in chain if job.record})
    theirs = list(dict.fromkeys(job.process.folder for job in chain if not job.record))
    text, papers = "", []
    if ours:
        text, papers = f"The data were processed with cryosnake {', '.join(ours)}, a Snakemake workflow.", [_SNAKEMAKE]
    if theirs:
        text += f" These jobs were made by RELION, or by another program: {', '.join(theirs)}."
        papers.append(_RELION)
    return Sentence(text.strip(), _numbers(references, papers))


def _numbers(references: dict[str, int], papers: Iterable[str]) -> tuple[int, ...]:
    return tuple(references.setdefault(name, len(references) + 1) for name in papers)


def _sentence(job: JobFacts, record: JobRecord) -> str:
    write = _SENTENCES.get(record.type)
    results = {result.name: _number(result) for result in job.results}
    if write is not None:
        try:
            return write(record.parameters, results)
        except (KeyError, TypeError, ValueError, IndexError):  # a record of an earlier version
            pass
    return f"{job.title}: {job.job_type.description}" if job.job_type else f"A job of type {record.type} was run."


def _number(result: Result) -> str:
    digits = {"resolution": ".2f", "B-factor": ".0f"}.get(result.name)
    return f"{result.value:{digits}} {result.unit}".replace("-", "−") if digits else str(result)


def _import(values: Values, results: Results) -> str:
    what = next((f"{results[name]} {name}" for name in ("movies", "micrographs") if name in results), "The movies")
    optics = [f"{values[name]:g} {unit}" for name, unit in (("voltage", "kV"), ("pixel_size", "Å per pixel"))
              if values.get(name)]
    cs = f", spherical aberration {values['spherical_aberration']:g} mm" if values.get("spherical_aberration") else ""
    return f"{what} were imported ({', '.join(optics)}{cs})." if optics else f"{what} were imported."


def _motion(values: Values, _: Results) -> str:
    x, y = values["patches"]
    how = f"in {x} × {y} patches" if x * y > 1 else "as whole frames"
    weighted = ", and summed with dose weighting" if values.get("dose_weighting") else ", and summed"
    binned = f" after binning by {values['bin_factor']:g}" if values.get("bin_factor", 1) != 1 else ""
    return f"Frames ({values['dose_per_frame']:g} e/Å² each) were aligned {how}{weighted}{binned}."


def _ctf(values: Values, results: Results) -> str:
    gate = f"; micrographs whose Thon rings end before {values['max_resolution']:g} Å were left out" if \
        values.get("max_resolution") else ""
    kept = f", which kept {results['micrographs']}" if "micrographs" in results and gate else ""
    return (f"The contrast transfer function was fitted between {values['resmin']:g} and {values['resmax']:g} Å"
            f"{gate}{kept}.")


def _by_hand(_: Values, results: Results) -> str:
    return f"{results.get('picks', 'Particles')} particles were picked by hand."


def _picks(values: Values, results: Results) -> str:
    how = {"log": "as blobs (Laplacian of Gaussian)", "template": "by template matching",
           "trained": "with a picker learned from examples"}.get(values.get("method", ""), "")
    low, high = values["diameter"][0], values["diameter"][-1]
    return f"{results.get('picks', 'Particles')} particles of {low:g} to {high:g} Å were picked {how}."


def _extract(values: Values, results: Results) -> str:
    scaled = f", rescaled to {values['rescale']} px" if values.get("rescale") else ""
    again = " on their refined centres" if values.get("recenter") else ""
    return (f"{results.get('particles', 'The')} particles were extracted{again} in boxes of {values['box_size']} px"
            f"{scaled}.")


def _class2d(values: Values, results: Results) -> str:
    return (f"{results.get('particles', 'They')} particles were classified in 2D into {values['classes']} classes "
            f"({values['iterations']} iterations, mask of {values['particle_diameter']:g} Å).")


def _select(values: Values, results: Results) -> str:
    how = f" with a class score of at least {values['minimum_score']:g}" if values.get("minimum_score") is not None \
        else " of chosen classes" if values.get("classes") else ""
    return f"{results.get('particles') or results.get('micrographs') or 'Items'}{how} were selected."


def _initial(values: Values, _: Results) -> str:
    made = "An initial map was" if values["classes"] == 1 else f"{values['classes']} initial maps were"
    return (f"{made} made from the particles alone by stochastic mini-batches from {values['starts']} random starts "
            f"(symmetry {values['symmetry']}).")


def _class3d(values: Values, results: Results) -> str:
    return (f"{results.get('particles', 'They')} particles were classified in 3D into {values['classes']} classes "
            f"(symmetry {values['symmetry']}).")


def _refine(values: Values, results: Results) -> str:
    reached = f", to {results['resolution']} by the FSC of the half maps" if "resolution" in results else ""
    return (f"{results.get('particles', 'They')} particles were refined in two independent half sets (symmetry "
            f"{values['symmetry']}, reference low-passed at {values['initial_lowpass']:g} Å){reached}.")


def _mask(_: Values, __: Results) -> str:
    return "A soft solvent mask was made from the refined map."


def _postprocess(_: Values, results: Results) -> str:
    sharpened = f" and sharpened with a B-factor of {results['B-factor']}" if "B-factor" in results else ""
    return (f"The map was masked, corrected for the mask by phase randomisation{sharpened}; its resolution is "
            f"{results.get('resolution', 'not known')} (FSC 0.143).")


def _localres(_: Values, __: Results) -> str:
    return "Local resolution was estimated from the half maps."


_SENTENCES: dict[str, Callable[[Values, Results], str]] = {
    "import": _import, "motioncorr": _motion, "ctffind": _ctf, "manualpick": _by_hand, "autopick": _picks,
    "extract": _extract, "class2d": _class2d, "select": _select, "initialmodel": _initial, "class3d": _class3d,
    "refine3d": _refine, "maskcreate": _mask, "postprocess": _postprocess, "localres": _localres}
