"""What a run knows of more videos than memory should hold: what it listed, what the ledger says, how they compare."""
