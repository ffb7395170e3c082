"""The engine that Class2D, Class3D, InitialModel and Refine3D share."""
