"""Remote calls between services, as nameko puts them on the wire: what users declare, and what carries it."""
