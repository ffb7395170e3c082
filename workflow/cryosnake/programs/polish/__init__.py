"""Polish: movies of refined particles, aligned and weighted again particle by particle."""
