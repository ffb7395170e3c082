"""Pages that build and run: jobs of config.yaml, runs, what is done to a job, clean-up."""
