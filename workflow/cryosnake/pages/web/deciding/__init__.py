"""Pages in which a person decides: classes, picks, micrographs. They write files of decisions/."""
