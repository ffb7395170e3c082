"""Processing of finished maps: masks, sharpening, local resolution."""
