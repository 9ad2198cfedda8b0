"""Checks of an index: ledger, points, receipts, files and corpus against each other, and what can be mended."""
