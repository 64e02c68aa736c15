"""The target: plain blocking code, whose threads are greenlets in thread mode and cost next to nothing."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection

logger = logging.getLogger('fanout')


def fetch_all(payload):
    """Fetch all pages at once."""
    calls = payload['calls']
    fetch = partial(timed_fetch, payload['host'], payload['port'])
    began = time.monotonic()
    with ThreadPoolExecutor(calls) as threads:
        durations = list(threads.map(fetch, range(calls)))
    took = time.monotonic() - began
    logger.info('%d calls in %.2f s; the fastest of them alone took %.2f s', calls, took, min(durations))


def timed_fetch(host, port, number):
    """Fetch a page; return how long that took, in seconds."""
    began = time.monotonic()
    connection = HTTPConnection(host, port, timeout=10)
    connection.request('GET', f'/pages/{number}')
    response = connection.getresponse()
    page = response.read().decode()
    connection.close()
    if (response.status, page) != (200, f'/pages/{number}'):
        raise ValueError(f'page {number}: wanted itself, found {response.status} {page!r}')
    return time.monotonic() - began
