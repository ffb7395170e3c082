"""CtfRefine: the microscope's aberrations, magnification and defoci, from particles whose poses are known."""
