"""For the definitions of job types: kinds of files, checks of values, and the options that several types have."""
