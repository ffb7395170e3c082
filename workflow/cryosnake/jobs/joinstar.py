"""JoinStar: the rows of several tables of movies, micrographs or particles in one."""

from cryosnake.jobs.model import MICROGRAPHS, MOVIES, PARTICLES, JobType, NodeType, Output, Parameter, Resources, Slot

_MOST = 4  # tables of one kind in RELION's job; a longer list is joined in steps (project/config/joins.py)


def _slots(kind: NodeType, short: str) -> list[Slot]:
    return [Slot(f"{kind.name}{number}", (kind,), f"Lists of {kind.name} to join, two or more.", required=False,
                 images=False, listed=kind.name, relion=f"fn_{short}{number}",
                 relion_switch=f"do_{short}" if number == 1 else "") for number in range(1, _MOST + 1)]


JOB = JobType(
    name="joinstar",
    folder="JoinStar",
    relion3=13,
    label="relion.joinstar",
    sublabels=(("particles1", "particles"), ("micrographs1", "micrographs"), ("movies1", "movies")),
    title="Join",
    topic="selection",
    description="Joins lists of particles, of micrographs or of movies. A list in a slot of another job, such as "
    "`particles: [first, second]`, makes such a job by itself. Columns that only some of the tables have are left out. "
    "Optics groups are merged where name and values agree, and otherwise kept apart.",
    inputs=(*_slots(PARTICLES, "part"), *_slots(MICROGRAPHS, "mic"), *_slots(MOVIES, "mov")),
    outputs=(
        Output("particles", "join_particles.star", PARTICLES, when="particles1"),
        Output("micrographs", "join_mics.star", MICROGRAPHS, when="micrographs1"),
        Output("movies", "join_movies.star", MOVIES, when="movies1"),
    ),
    parameters=(
        Parameter("duplicates", str, "refuse", "What becomes of movies, micrographs or particles that are in several "
                  "tables, in whatever spelling (of particles also: cut at the same place of a movie). refuse: the "
                  "job fails, and says how many there are; keep_first: those of the earlier table stay.",
                  choices=("refuse", "keep_first")),
    ),
    program="cryosnake.programs.joinstar.joinstar",
    resources=Resources(threads=1, mem_mb=4000, runtime=30),
)
