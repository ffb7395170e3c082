"""What a particle file's optics groups say of their images, and images corrected by it."""
