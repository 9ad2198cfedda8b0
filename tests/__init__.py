"""Claims about the product, checked with real parts."""
