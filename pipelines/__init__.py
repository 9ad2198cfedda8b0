"""What a person starts: ingest, search, evaluate, and the command line."""
