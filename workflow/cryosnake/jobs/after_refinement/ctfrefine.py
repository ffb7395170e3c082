"""CtfRefine: aberrations, magnification and CTF parameters from refined particles."""

from cryosnake.jobs.kinds.running_options import SHARED_OUT
from cryosnake.jobs.model import (
    DEVICE,
    PARTICLES,
    POSTPROCESS,
    CleanUp,
    JobType,
    Output,
    Parameter,
    Resources,
    Slot,
)

_WHOSE = {"no": "No", "micrograph": "Per-micrograph", "particle": "Per-particle"}


def _mode(name: str, default: str, help: str, unit: str = "", *, particle: bool = True) -> Parameter:
    known = {key: value for key, value in _WHOSE.items() if particle or key != "particle"}
    return Parameter(name, str, default, help, unit=unit, choices=tuple(known), relion_values=known,
                     relion={"astigmatism": "do_astig", "b_factor": "do_bfactor", "defocus": "do_defocus",
                             "phase_shift": "do_phase"}[name])


JOB = JobType(
    name="ctfrefine",
    folder="CtfRefine",
    relion3=21,
    label="relion.ctfrefine",
    title="CTF refinement",
    topic="refinement",
    description="Compares particles with projections of the half map that they are part of, and fits what the lens "
    "did to them: beam tilt, trefoil and fourth-order aberrations and anisotropic magnification of each optics group, "
    "and defocus, astigmatism, phase shift and B-factor of particles or micrographs. Refine3D and PostProcess, run "
    "again on the result, show what it gains. What is computed of a micrograph is kept, and used again where its "
    "particles, their poses and the half maps are the same.",
    inputs=(
        Slot("particles", (PARTICLES,), "Refined particles, with poses and half sets.", relion="fn_data"),
        Slot("postprocess", (POSTPROCESS,), "postprocess.star: it names half maps and mask, and its FSC weights "
             "frequencies.", relion="fn_post"),
    ),
    outputs=(Output("particles", "particles_ctf_refine.star", PARTICLES),),
    parameters=(
        _mode("defocus", "particle", "One change of defocus for each particle, or for each micrograph."),
        _mode("astigmatism", "micrograph", "One astigmatism for each micrograph.", particle=False),
        _mode("phase_shift", "no", "A phase shift for each micrograph, or particle; with a phase plate."),
        _mode("b_factor", "no", "A B-factor and a scale for each particle, or micrograph."),
        Parameter("beam_tilt", bool, True, "Fit the beam tilt of each optics group.", relion="do_tilt"),
        Parameter("trefoil", bool, True, "Fit three-fold aberrations of each optics group.", relion="do_trefoil"),
        Parameter("fourth_order", bool, True, "Fit even aberrations up to the fourth order, Cs and tetrafoil among "
                  "them.", relion="do_4thorder"),
        Parameter("magnification", bool, True, "Fit the anisotropic magnification of each optics group. (RELION fits "
                  "nothing else with it.)", relion="do_aniso_mag"),
        Parameter("rounds", int, 2, "How often the fits are repeated in turn, where there are several kinds.",
                  minimum=1, maximum=10, advanced=True),
        Parameter("defocus_range", float, 2000.0, "Defoci this far from the present one are tried.", unit="Å",
                  minimum=20, maximum=20000, advanced=True),
        Parameter("min_resolution", float, 30.0, "Lower frequencies are not used.", unit="Å", minimum=1,
                  relion="minres"),
        Parameter("max_resolution", float, None, "Higher frequencies are not used. Not set: all at which the FSC "
                  "shows signal.", unit="Å", minimum=0.1, advanced=True, at_most="min_resolution"),
        DEVICE,
        *SHARED_OUT,
    ),
    program="cryosnake.programs.ctfrefine.ctfrefine",
    relion_options={"do_ctf": "Yes"},
    resources=Resources(threads=2, most_threads=16, mem_mb=8000, runtime=120, gpu=True, voxel_bytes=120),
    clean=CleanUp(gentle=("**/*_optics-group_*.npz",)),
    panels=("aberrations",),
    references=("Zivanov, Nakane & Scheres 2020, IUCrJ 7, 253-267",
                "Zivanov et al. 2018, eLife 7, e42166"),
)
