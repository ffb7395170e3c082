"""Which job of the config is which directory, and what is still to be made. Pure: nothing here writes."""
