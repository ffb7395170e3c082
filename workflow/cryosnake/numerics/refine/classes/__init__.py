"""Class averages and class maps: their computation, and the recognition of those that show particles."""
