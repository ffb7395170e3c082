"""Who is answered, what pages of one server share, and how answers and forms are made."""
