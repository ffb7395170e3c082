"""What is done with refined particles."""
