"""Records that the microscope's software leaves beside movies. Standard library only: planning compares them."""
