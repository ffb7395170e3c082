"""The algorithm drivers: they read files, call `numerics`, write files, report progress."""
