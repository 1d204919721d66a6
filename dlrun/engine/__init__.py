"""The engine: fit and evaluate; the only backward() and step() of the package."""
