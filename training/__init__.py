"""What the project trains by itself; nothing here is shipped or imported at run time."""
