"""Tiny models of every family of encoders, for the suite that holds them to their promises."""
