"""Models: one architecture a file, flat; tensors in, tensors out."""
