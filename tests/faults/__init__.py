"""The fault harness: every row of the table injected from outside, judged by one ledger."""
