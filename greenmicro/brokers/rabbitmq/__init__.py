"""RabbitMQ through kombu and amqp; the only place that knows either."""
