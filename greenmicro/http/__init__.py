"""HTTP: requests as messages, and outcomes as responses."""
