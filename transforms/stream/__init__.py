"""Events about videos: what brings them, what they say, and the files that they name."""
