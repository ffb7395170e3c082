"""Import: the movies or micrographs of the project, and the optics with which they were recorded."""

from cryosnake.jobs.kinds.files import MTF
from cryosnake.jobs.model import MICROGRAPHS, MOVIES, JobType, Output, Parameter, Resources

JOB = JobType(
    name="import",
    folder="Import",
    relion3=0,
    label="relion.import.movies",
    title="Import",
    topic="import",
    description="Lists the movies (or micrographs) of the project with their optics. A file is imported when it is "
    "complete: as large as its header says, and unchanged for the settling time.",
    inputs=(),
    outputs=(
        Output("movies", "movies.star", MOVIES, when="movies"),
        Output("micrographs", "micrographs.star", MICROGRAPHS, when="micrographs"),
    ),
    parameters=(
        Parameter("movies", str, None, "Pattern of the movie files, relative to the project.", relion="fn_in_raw",
                  relion_switch="is_multiframe"),
        Parameter("micrographs", str, None, "Pattern of micrographs that need no motion correction.",
                  relion="fn_in_raw"),
        Parameter("voltage", float, None, "Acceleration voltage.", unit="kV", minimum=10, maximum=3000, required=True,
                  microscope="voltage", relion="kV"),
        Parameter("spherical_aberration", float, None, "Spherical aberration.", unit="mm", minimum=0, maximum=20,
                  required=True, microscope="spherical_aberration", relion="Cs"),
        Parameter("amplitude_contrast", float, 0.1, "Fraction of amplitude contrast.", minimum=0, maximum=1,
                  microscope="amplitude_contrast", relion="Q0"),
        Parameter("pixel_size", float, None, "Pixel size of the files.", unit="Å", minimum=0.01, maximum=1000,
                  required=True, microscope="pixel_size", relion="angpix"),
        Parameter("optics_group", str, "opticsGroup1", "Name of the optics group.", relion="optics_group_name"),
        Parameter("mtf", str, None, "STAR file with the detector's MTF.", microscope="mtf", relion="fn_mtf", file=MTF),
        Parameter("settling_time", float, 5.0, "A file must have been unchanged for this long.", unit="s", minimum=0,
                  identity=False, advanced=True),
    ),
    program="cryosnake.programs.micrographs.import_data",
    per_micrograph=True,
    products=(),
    table="movies",
    relion_options={"do_raw": "Yes", "do_other": "No"},
    resources=Resources(threads=1, mem_mb=500, runtime=10, local=True),
)
