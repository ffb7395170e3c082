"""What a user does to a job, and asks about it."""
