"""Who works where: claims on the project, locks of job directories, the status of jobs."""
