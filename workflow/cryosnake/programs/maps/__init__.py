"""What is done with finished maps: masks, sharpening, local resolution."""
