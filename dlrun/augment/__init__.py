"""Changes of training images: each sample its own, a function of (seed, epoch, sample index) alone."""
