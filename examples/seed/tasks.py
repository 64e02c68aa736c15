def test(payload, producer):
    producer('event_name', {})
