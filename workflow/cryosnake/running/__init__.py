"""The frame that every script runs in: arguments, threads, log, lock, exit files, status."""
