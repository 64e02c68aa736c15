"""How long tests wait for what must come: only one that fails waits to the end, so it may be long."""

#: A machine ten times slower than usual comes through within it.
PATIENCE_S = 60.0
