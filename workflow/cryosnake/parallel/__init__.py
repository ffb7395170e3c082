"""Several processes on one job (MPI), and sources of the particle images."""
