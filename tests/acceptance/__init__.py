"""The program as its user runs it, against a real broker."""
