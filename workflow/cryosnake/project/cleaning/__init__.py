"""What goes to the Trash, and how it comes back."""
