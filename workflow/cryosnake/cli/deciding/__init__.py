"""Commands by which a person decides: each writes a file of decisions/."""
