"""Local resolution by windowed FSC, and the locally filtered map."""
