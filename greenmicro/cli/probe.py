"""`greenmicro health`: asks a service on this machine whether it is ready; for container probes."""

from __future__ import annotations

import http.client
import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Any

from greenmicro.addresses import WANTED, Address

VARIABLE = 'GREENMICRO_HEALTH_ADDRESS'


class ProbeError(Exception):
    """The answer is no; its text says why."""


def main(arguments: Sequence[str]) -> int:
    """Ask, print the answer, and return 0 for yes and 1 for no.

    Imports the standard library only, and of that little: it runs each few seconds.
    """
    options = _parser().parse_args(arguments)
    try:
        address = _address(options.address, os.environ)
        answer = _ask(address.asked, '/livez' if options.live else '/readyz', options.timeout)
    except ProbeError as no:
        sys.stdout.write(f'{no}\n')
        return 1
    sys.stdout.write(f'{answer}\n')
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser('greenmicro health', description=__doc__.partition('; ')[0])
    parser.add_argument('--address', metavar='HOST:PORT', help=f'its HEALTH_ADDRESS; default: ${VARIABLE}')
    parser.add_argument('--live', action='store_true', help='ask whether it lives, not whether it is ready')
    parser.add_argument('--timeout', metavar='SECONDS', type=float, default=2.0, help='default: 2')
    return parser


def _address(given: str | None, environ: Mapping[str, str]) -> Address:
    text, source = (environ.get(VARIABLE), VARIABLE) if given is None else (given, '--address')
    if not text:
        raise ProbeError(f'where to ask? Give --address 127.0.0.1:8080, or set {VARIABLE} as for the service')
    try:
        return Address.parse(text)
    except ValueError:
        raise ProbeError(f'{source}: wanted {WANTED}; found {text!r}') from None


def _ask(address: Address, path: str, timeout_s: float) -> str:
    """Return the answer.

    Raises:
        ProbeError: It is no, or there is none.
    """
    connection = http.client.HTTPConnection(address.host, address.port, timeout=timeout_s)
    try:
        connection.request('GET', path)
        response = connection.getresponse()
        body = response.read(65_536)
    except (OSError, http.client.HTTPException) as error:
        hint = 'does the service run, with this HEALTH_ADDRESS?'
        if isinstance(error, TimeoutError):
            hint = f'is it blocked by a target that computes? It had {timeout_s:g} s'
        why = ' '.join(str(error).split()) or type(error).__name__
        raise ProbeError(f'no answer from {address} ({why}); {hint}') from error
    finally:
        connection.close()
    if response.status == http.client.OK:
        return 'live' if path == '/livez' else 'ready'
    raise ProbeError(_reasons(body) or f'{address}{path} answered {response.status} {response.reason}')


def _reasons(body: bytes) -> str:
    """Read the reasons of a service; '' when the answer is somebody else's."""
    try:
        content: Any = json.loads(body)
        return 'not ready: ' + '; '.join(map(str, content['reasons']))
    except (ValueError, TypeError, LookupError):
        return ''
