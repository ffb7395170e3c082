"""CtfFind: defocus, astigmatism and phase shift of each micrograph, with a quality gate."""

from cryosnake.jobs.kinds.values import even
from cryosnake.jobs.model import (
    DEVICE,
    MAX_FAILED,
    MICROGRAPHS,
    CleanUp,
    JobType,
    Output,
    Parameter,
    Resources,
    Slot,
)

JOB = JobType(
    name="ctffind",
    folder="CtfFind",
    relion3=2,
    label="relion.ctffind.ctffind4",
    title="CTF estimation",
    topic="micrographs",
    description="Fits the contrast transfer function to the power spectrum of each micrograph: an exhaustive defocus "
    "search on the rotational average, then a fit of both defoci and their angle in two dimensions. Micrographs "
    "outside the limits of the quality gate are left out of micrographs_ctf.star and listed with the reason.",
    inputs=(Slot("micrographs", (MICROGRAPHS,), "Micrographs.", relion="input_star_mics"),),
    outputs=(Output("micrographs", "micrographs_ctf.star", MICROGRAPHS, label="ctf"),),
    parameters=(
        Parameter("use_power_spectrum", bool, True, "Use the power spectra written by motion correction "
                  "(rlnCtfPowerSpectrum) if there are any; the frames of each movie determine how they are summed.",
                  relion="use_given_ps"),
        Parameter("use_unweighted", bool, False, "Without a power spectrum, use the micrograph without dose weighting "
                  "(rlnMicrographNameNoDW) if there is one.", relion="use_noDW"),
        Parameter("box", int, 512, "Size of the power spectrum; one from motion correction keeps its own.", unit="px",
                  minimum=128, maximum=4096, relion="box", check=even),
        Parameter("resmin", float, 30.0, "Lowest resolution used in the fit.", unit="Å", minimum=5, maximum=200,
                  relion="resmin"),
        Parameter("resmax", float, 5.0, "Highest resolution used in the fit.", unit="Å", minimum=1.5, maximum=50,
                  relion="resmax", at_most="resmin"),
        Parameter("dfmin", float, 2000.0, "Lowest defocus searched.", unit="Å", minimum=100, relion="dfmin",
                  at_most="dfmax"),
        Parameter("dfmax", float, 50000.0, "Highest defocus searched.", unit="Å", minimum=200, relion="dfmax"),
        Parameter("dfstep", float, 100.0, "Step of the exhaustive search, which takes almost no time.", unit="Å",
                  minimum=10, maximum=1000, advanced=True, relion="dfstep"),
        Parameter("dast", float, 0.0, "Expected astigmatism, as a standard deviation; larger values are "
                  "penalised. 0 for no penalty.", unit="Å", minimum=0, advanced=True, relion="dast"),
        Parameter("phase_shift", bool, False, "Fit a phase shift too (phase plate).", relion="do_phaseshift"),
        Parameter("phase_min", float, 0.0, "Lowest phase shift searched.", unit="degrees", minimum=0, maximum=180,
                  relion="phase_min", at_most="phase_max"),
        Parameter("phase_max", float, 180.0, "Highest phase shift searched.", unit="degrees", minimum=0, maximum=180,
                  relion="phase_max"),
        Parameter("phase_step", float, 10.0, "Step of the exhaustive search of the phase shift.", unit="degrees",
                  minimum=1, maximum=45, advanced=True, relion="phase_step"),
        Parameter("max_resolution", float, 5.0, "Gate: leave out micrographs whose Thon rings cannot be followed to "
                  "this resolution (or to Nyquist, if that comes first; to 1.6 times this where the rings are beyond "
                  "doubt); 100 for no limit.", unit="Å", minimum=2),
        Parameter("min_figure_of_merit", float, 0.025, "Gate: leave out fits that agree less than this with the "
                  "spectrum. Noise alone reaches 0.024, good micrographs 0.03 near focus, elsewhere 0.06 and more; -1 "
                  "for no limit.", minimum=-1, maximum=1),
        Parameter("min_defocus", float, None, "Gate: leave out micrographs with a smaller mean defocus.", unit="Å",
                  minimum=0, at_most="max_defocus"),
        Parameter("max_defocus", float, None, "Gate: leave out micrographs with a larger mean defocus.", unit="Å",
                  minimum=0),
        Parameter("max_astigmatism", float, None, "Gate: leave out a larger difference between the defoci.", unit="Å",
                  minimum=0),
        Parameter("max_ice_density", float, None, "Gate: leave out micrographs with more power in the ice rings at 3.9 "
                  "and 3.7 Å (rlnCtfIceRingDensity; 0.2 is 20 % above the background).", minimum=0),
        MAX_FAILED,
        DEVICE,
    ),
    program="cryosnake.programs.micrographs.ctffind",
    per_micrograph=True,
    products=("{root}.ctf",),
    relion_options={"ctf_win": "-1", "slow_search": "No"},
    resources=Resources(threads=1, most_threads=4, mem_mb=2000, runtime=60, gpu=True),
    clean=CleanUp(harsh=("**/*.ctf",)),
    panels=("ctf",),
    references=("Rohou & Grigorieff 2015, J. Struct. Biol. 192", "Zhang 2016, J. Struct. Biol. 193",
                "Welch 1967, IEEE Trans. Audio Electroacoust. 15", "Whittle 1953, Ark. Mat. 2"),
)
