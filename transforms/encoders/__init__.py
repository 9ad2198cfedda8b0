"""Model families behind Beam ModelHandlers, one registry of names."""
