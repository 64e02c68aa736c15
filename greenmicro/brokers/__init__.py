"""Where messages come from and go to, behind one contract."""
