"""Vectors + temporal position -> ClipPoints: the blocks, the pooling of frames, positions, and the other fusions."""
