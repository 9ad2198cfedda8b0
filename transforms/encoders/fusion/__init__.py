"""What is trained over frozen vectors (heads, adapters, poolings, positions): its files, its networks, its training."""
