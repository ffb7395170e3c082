"""A project on disk: config, plan, batches, job directories, and the adapter to RELION's pipeline."""
