"""The soak: one service under load for hours, and a fault of the whole table every few seconds."""
