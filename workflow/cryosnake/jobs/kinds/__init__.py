"""What a parameter holds besides its type: kinds of files, and checks of values; for the definitions of job types."""
