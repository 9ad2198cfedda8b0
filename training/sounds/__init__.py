"""The sound model of `sound-events`: sounds that are synthesised, and a small network that learns their names."""
