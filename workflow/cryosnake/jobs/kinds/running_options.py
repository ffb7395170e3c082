"""Options of long jobs that change no result: MPI ranks, GPUs, reading of images, iterations to keep."""

from dataclasses import replace

from cryosnake.jobs.kinds.files import ITERATION
from cryosnake.jobs.kinds.values import gpu_numbers
from cryosnake.jobs.model import Parameter

KEEP_ITERATIONS = Parameter(
    "keep_iterations", str, "all", "all: keep the files of every iteration, as RELION does. last: remove those of "
    "an iteration when the next one is complete, except those to which a job of the project is connected; pictures "
    "stay. The key of the same name at the top of config.yaml sets it for all jobs.", choices=("all", "last"),
    identity=False, config_key="keep_iterations")

PICTURES = Parameter(
    "pictures", bool, True, "Draw the results, and iterations (run_itNNN.png) as long as that takes no more than 2 % "
    "of the time. The key of the same name at the top of config.yaml sets it for all jobs.",
    advanced=True, identity=False, config_key="pictures")

MPI_RANKS = Parameter(
    "mpi_ranks", int, 1, "Processes (MPI ranks), each with the rule's threads; Refine3D takes an even number for its "
    "half sets.", minimum=1, maximum=4096, identity=False, relion="nr_mpi")

GPU_IDS = Parameter(
    "gpu_ids", str, None, "GPUs, numbered from 0: commas between those of one rank, colons between ranks. Not set: all "
    "available ones, distributed to the ranks.", identity=False, relion="gpu_ids", check=gpu_numbers)

MEMORY = Parameter(
    "memory", float, None, "Memory that the job may use on each computer. Not set: four fifths of what is free when it "
    "starts, within the limit of SLURM or a container.", unit="GB", minimum=0.1, maximum=100_000, advanced=True,
    identity=False)

MPI_LAUNCHER = Parameter(
    "mpi_launcher", str, None, "Command that starts the ranks, without their number: \"mpirun\", \"srun --mpi=pmix\". "
    "Not set: srun inside a SLURM job, else mpirun.", advanced=True, identity=False)

# Of jobs that share micrographs or particles out, without iterations. (RELION's have no GPU.)
SHARED_OUT = (replace(MPI_RANKS, help="Processes (MPI ranks), each with the rule's threads."),
              replace(GPU_IDS, relion=""), MEMORY, MPI_LAUNCHER)

RUNNING = (
    KEEP_ITERATIONS,
    MPI_RANKS,
    GPU_IDS,
    Parameter("pooled", int, None, "Particles that are processed together; fewer need less memory.", minimum=1,
              maximum=10_000, advanced=True, identity=False, relion="nr_pool"),
    MEMORY,
    PICTURES,
    Parameter("parallel_io", bool, True, "Every rank reads its own images; otherwise rank 0 reads for all.",
              advanced=True, identity=False, relion="do_parallel_discio"),
    Parameter("preread", bool, False, "Read all images into memory first, once on each computer: particles × box² × "
              "4 bytes. Refused when they do not fit.", identity=False, relion="do_preread_images"),
    Parameter("scratch_dir", str, None, "Local disk to copy the images to (below relion_volatile) while the job runs.",
              identity=False, relion="scratch_dir"),
    Parameter("keep_free_scratch", float, 10.0, "Space to leave free on the scratch disk; images that do not fit are "
              "read from their original place.", unit="GB", minimum=0, advanced=True, identity=False),
    Parameter("combine_through_disc", bool, False, "Add up the ranks' sums through files instead of MPI.",
              advanced=True, identity=False, relion="do_combine_thru_disc"),
    MPI_LAUNCHER,
)

CONTINUE = (
    Parameter("continue_from", str, None, "run_itNNN_optimiser.star to continue from.", advanced=True, identity=False,
              relion="fn_cont", file=ITERATION),
    Parameter("run_ct", bool, False, "Name the files of a continued job run_ctNN_itMMM, with NN the iteration that it "
              "continues from, as RELION does in the same directory; otherwise run_itMMM.", advanced=True,
              identity=False),
)
