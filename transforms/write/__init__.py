"""Results -> clips and one receipt a segment; the last receipt commits its video."""
