"""Several processes on one job (MPI), and where the particle images are read from."""
