"""One module a family of encoders: `describe` reads small files, `load` gives a Network."""
