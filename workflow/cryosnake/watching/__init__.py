"""`cryosnake watch`: a project followed while its movies arrive."""
