"""Where workers run: the table of modes."""
