"""The targets."""


def report(payload):
    """Write the report that is due."""
    print(f'report {payload["tick"]}, due at {payload["scheduled"]:%H:%M:%S}', flush=True)


def clean_up(payload):
    """Clean up, in one replica."""
    print(f'cleaning up, {payload["tick"]}', flush=True)
