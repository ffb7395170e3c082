"""Class averages and class maps: how they are made, and which of them show particles."""
