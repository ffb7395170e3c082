"""How particles' views are spread, and what a map owes to them in each direction."""
