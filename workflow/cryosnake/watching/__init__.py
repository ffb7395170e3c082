"""`cryosnake watch`: follow a project while its movies arrive."""
