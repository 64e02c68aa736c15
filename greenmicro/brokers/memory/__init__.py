"""memory://: a broker inside the process, behind the same contract as RabbitMQ."""
