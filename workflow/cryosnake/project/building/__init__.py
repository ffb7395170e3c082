"""Jobs that come into a project, what a run would do with them, and starting it."""
