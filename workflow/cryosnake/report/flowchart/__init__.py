"""The flowchart of a project: layout and drawing."""
