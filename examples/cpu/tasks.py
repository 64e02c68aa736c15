"""The targets; in process mode they run in child processes, the ticks too."""

import logging
import os
import time

logger = logging.getLogger('primes')


def count_primes(payload):
    """Count the primes below a number, the slow way."""
    began = time.monotonic()
    primes = sum(is_prime(number) for number in range(payload['below']))
    took = time.monotonic() - began
    logger.info('job %-2d  %d primes in %.2f s, process %d', payload['job'], primes, took, os.getpid())


def is_prime(number):
    """Say whether a number is a prime, by dividing it by all that could divide it."""
    if number < 2:
        return False
    return all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def tick(payload):
    """Runs between the jobs, when it is its turn."""
    logger.info('tick %-3d process %d', payload['tick'], os.getpid())
