"""What users declare of RabbitMQ: names, listeners, producers; the standard library only."""
