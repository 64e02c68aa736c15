"""`greenmicro dead`: lists, shows, requeues and drops dead letters."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, NamedTuple

import click

from greenmicro import kinds
from greenmicro.cli import texts
from greenmicro.cli.connection import DeadQueueError
from greenmicro.cli.dead_queue import DeadQueue, dead_queue
from greenmicro.cli.letters import Letter, dead_queue_of
from greenmicro.tls import TLS
from greenmicro.uris import check_uri

SHOWN = 10
VARIABLE = 'GREENMICRO_AMQP_URI'
TLS_VARIABLE = 'GREENMICRO_AMQP_SSL'


class Broker(NamedTuple):
    """Where the broker is.

    Attributes:
        uri: As services have it in AMQP_URI.
        tls: As they have it in AMQP_SSL.
    """

    uri: str
    tls: TLS | None


class Selection(NamedTuple):
    """Which letters are meant.

    Attributes:
        reason: What their reason contains, in any case; '' for all.
        error: What their error contains, as written: its class, dotted or not, or its message.
        limit: At most so many, the oldest first; None for all.
    """

    reason: str
    error: str
    limit: int | None

    def means(self, letter: Letter) -> bool:
        """Say whether a letter is meant, the limit aside."""
        return self.reason.lower() in letter.reason.lower() and self.error in letter.error

    def of(self, queue: DeadQueue) -> Iterator[Letter]:
        """Yield the letters that are meant; the others are kept."""
        # Without a condition no more are fetched than wanted; a listing counts as a give-back.
        letters = queue.letters(None if self.reason or self.error else self.limit)
        found = 0
        while found != self.limit and (letter := next(letters, None)) is not None:
            if self.means(letter):
                found += 1
                yield letter
            else:
                queue.keep(letter)


def _check_uri(context: click.Context, option: click.Parameter, uri: str | None) -> str:
    if not uri:
        raise click.UsageError(
            f'where is the broker? Set {VARIABLE}=amqp://user:password@host:5672/ or give it as --amqp-uri'
        )
    if fault := check_uri(uri):
        raise click.BadParameter(fault)
    if uri.startswith('memory:'):
        raise click.BadParameter('memory:// lives inside its service; only a RabbitMQ can be asked from here')
    return uri


def _check_tls(context: click.Context, option: click.Parameter, text: str | None) -> TLS | None:
    if not text:
        return None
    try:
        tls: TLS = kinds.TLS_OPTIONS.accept(kinds.TLS_OPTIONS.parse(text))
    except kinds.FaultError as fault:
        raise click.BadParameter(str(fault)) from None
    except ValueError:
        raise click.BadParameter(f'wanted JSON, as {{"ca": "ca.pem"}}; found {text[:60]!r}') from None
    if not context.params['amqp_uri'].startswith('amqps:'):
        raise click.BadParameter('it is for an amqps:// URI')
    return tls


def _common(command: Callable[..., Any]) -> Any:
    """Add what all of these commands take; where the broker is comes in one piece."""

    @wraps(command)
    def with_broker(*, amqp_uri: str, amqp_ssl: TLS | None, **others: Any) -> Any:
        return command(broker=Broker(amqp_uri, amqp_ssl), **others)

    built: Any = with_broker
    for add in (
        click.option('--limit', type=click.IntRange(min=1), help='At most so many, the oldest first.'),
        click.option(
            '--error', default='', metavar='TEXT', help='Whose error (class, message) contains this.'
        ),
        click.option('--reason', default='', metavar='TEXT', help='Whose reason contains this.'),
        click.option(
            '--amqp-uri',
            metavar='URI',
            envvar=VARIABLE,
            show_envvar=True,
            is_eager=True,
            callback=_check_uri,
            help='Where the broker is; others on this machine can read it here, but not in the environment.',
        ),
        click.option(
            '--amqp-ssl',
            metavar='JSON',
            envvar=TLS_VARIABLE,
            show_envvar=True,
            callback=_check_tls,
            help='Whom an amqps connection trusts and what it shows, as services have it in AMQP_SSL.',
        ),
        click.argument('queue', callback=lambda context, option, name: dead_queue_of(name)),
    ):
        built = add(built)
    return built


_json = click.option('--json', 'as_json', is_flag=True, help='Print a JSON array.')


@click.group()
def dead() -> None:
    """Dead letters of QUEUE, which is a work queue, or its dead queue.

    Letters stay unless they are requeued or dropped. Killed at any moment none of these commands loses a
    letter.
    """


@dead.command('list')
@_common
@_json
def list_(queue: str, broker: Broker, reason: str, error: str, limit: int | None, as_json: bool) -> None:
    """List the letters, oldest first."""
    there, letters = _read(broker, queue, Selection(reason, error, limit))
    if as_json:
        click.echo(texts.as_json([letter.summary() for letter in letters]))
        return
    click.echo(f'{queue}: {_of(len(letters), there)}')
    if letters:
        click.echo('\n' + texts.table(letters))


@dead.command()
@_common
@_json
def show(queue: str, broker: Broker, reason: str, error: str, limit: int | None, as_json: bool) -> None:
    """Show letters whole: headers, body and traceback; 10 unless --limit says otherwise."""
    there, letters = _read(broker, queue, Selection(reason, error, limit or SHOWN))
    if as_json:
        click.echo(texts.as_json([letter.details() for letter in letters]))
        return
    click.echo(f'{queue}: {_of(len(letters), there)}')
    for number, letter in enumerate(letters, 1):
        click.echo('\n' + texts.block(letter, number, len(letters)))


@dead.command()
@_common
def requeue(queue: str, broker: Broker, reason: str, error: str, limit: int | None) -> None:
    """Send letters back to the queues they came from, with their attempts counted anew.

    Each is acknowledged here when the broker has confirmed it there. Letters whose properties were
    unreadable have nothing to go back to, and stay.
    """
    with _walk(broker, queue, 'requeued') as letters:
        there = letters.count()
        for letter in Selection(reason, error, limit).of(letters):
            letters.requeue(letter)
    click.echo(f'{queue}: requeued {_of(letters.moved, there)}')
    for why, count in letters.stayed.items():
        click.echo(f'{count} stayed: {why}', err=True)
    if letters.stayed:
        raise SystemExit(1)


@dead.command()
@_common
@click.option('--yes', is_flag=True, help='Do not ask.')
def drop(queue: str, broker: Broker, reason: str, error: str, limit: int | None, yes: bool) -> None:
    """Drop letters for good."""
    if not yes:
        _ask(f'Drop {"the chosen" if reason or error or limit else "all"} letters of {queue} for good?')
    with _walk(broker, queue, 'dropped') as letters:
        there = letters.count()
        for letter in Selection(reason, error, limit).of(letters):
            letters.drop(letter)
    click.echo(f'{queue}: dropped {_of(letters.moved, there)}')


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError('this drops letters for good, and nobody is there to be asked: give --yes')
    click.confirm(question, abort=True)


def _read(broker: Broker, queue: str, selection: Selection) -> tuple[int, list[Letter]]:
    """Return how many letters there are, and those that are meant; all stay."""
    found = []
    with _walk(broker, queue, '') as letters:
        there = letters.count()
        for letter in selection.of(letters):
            found.append(letter)
            letters.keep(letter)
    return there, found


@contextmanager
def _walk(broker: Broker, queue: str, verb: str) -> Iterator[DeadQueue]:
    """Walk a queue; an error is told with how far it came."""
    letters = None
    try:
        with dead_queue(broker.uri, queue, broker.tls) as letters:
            yield letters
    except DeadQueueError as error:
        so_far = f' ({letters.moved} were {verb} before)' if letters is not None and letters.moved else ''
        raise click.ClickException(f'{error}{so_far}') from error


def _of(count: int, there: int) -> str:
    if count == there:
        return '1 letter' if count == 1 else f'{count} letters'
    return f'{count} of {there} letters'
