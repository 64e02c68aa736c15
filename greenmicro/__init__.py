"""greenmicro: message-driven services in Python on RabbitMQ, on gevent, kombu and amqp."""
