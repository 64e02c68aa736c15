"""The error tree: who must act decides the type.

GreenmicroError
  ConfigError             the developer: the service is put together wrongly; nothing was started
  PayloadError            the sender: a body that cannot become a payload, or the other way round
    ContentRefusedError   ... because its content type or encoding is not accepted
  BrokerError             the operator: the broker refuses us for good
  PublishError            the publisher: the message is not known to be safe with the broker
    UnroutableError       ... since no queue takes it
    RefusedError          ... since the broker refused it
    UnconfirmedError      ... since no answer came in time; it may have arrived
    UnavailableError      ... since the broker was not there in time; it was not sent
      BlockedError        ... or was there, and accepted no messages
    StoppingError         ... since the service has stopped
  RPCError                the caller: a remote call has no result
    UnknownServiceError   ... since nobody serves it
    UnknownMethodError    ... since the service has no such method
    BadCallError          ... since the arguments do not fit the method
    RemoteError           ... since the method raised
    CallTimeoutError      ... since no reply came in time; it may have run
      CallLostError       ... and the connection was lost meanwhile, perhaps with the reply
  ArgumentsError          the remote caller: what a target cannot be called with
  StopTimeoutError        the operator: work was still running at the stop's deadline
TargetTimeoutError        the target: it ran longer than its limit (a BaseException)
"""

from __future__ import annotations

from collections.abc import Sequence


class GreenmicroError(Exception):
    """Base of all errors that greenmicro raises, time limits aside."""


class ConfigError(GreenmicroError):
    """The service is put together wrongly; every fault that was found is listed.

    Args:
        faults: One sentence each: what was wanted, what was found, and where.
    """

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults: Sequence[str] = faults

    def __str__(self) -> str:
        if len(self.faults) == 1:
            return self.faults[0]
        return ''.join(f'\n  - {fault}' for fault in self.faults)


class PayloadError(GreenmicroError, ValueError):
    """A body that cannot become a payload, or a payload that cannot become a body."""


class ContentRefusedError(PayloadError):
    """A body of a content type or encoding that is not accepted; it was not looked into."""


class BrokerError(GreenmicroError):
    """The broker refuses us for good: password, virtual host, permission, other arguments.

    With FAIL_FAST also: it was not there in time.
    """


class PublishError(GreenmicroError):
    """The message is not known to be safe with the broker."""


class UnroutableError(PublishError):
    """No queue takes the message, though one was demanded (`mandatory`); it is gone."""


class RefusedError(PublishError):
    """The broker refused the message (a full queue, a permission), and again; it was not stored."""


class UnconfirmedError(PublishError):
    """No confirm came before the deadline; the message may or may not have arrived."""


class UnavailableError(PublishError):
    """The broker was not there, or accepted no messages, until the deadline; it was not sent."""


class BlockedError(UnavailableError):
    """The broker accepted no messages until the deadline, for want of memory or disk; it was not sent."""


class StoppingError(PublishError):
    """The service has stopped; the message was not sent."""


class RPCError(GreenmicroError):
    """A remote call has no result."""


class UnknownServiceError(RPCError):
    """No service of that name listens to calls, or ever did; the call was not run."""


class UnknownMethodError(RPCError):
    """The service has no such method; nothing was run."""


class BadCallError(RPCError):
    """The arguments do not fit the remote method, or are no arguments at all; nothing was run."""


class RemoteError(RPCError):
    """The remote method raised.

    Attributes:
        exc_type: The name of the error's class there, as `ValueError`.
        exc_path: The same with its module, as `builtins.ValueError`; '' if the other side did not say.
        exc_args: Its arguments, as far as JSON carries them, the rest as text.
        value: The error as text.
        remote_traceback: The traceback there, where the other side is greenmicro; else ''.
    """

    def __init__(
        self,
        exc_type: str,
        value: str,
        exc_path: str = '',
        exc_args: Sequence[object] = (),
        remote_traceback: str = '',
    ) -> None:
        super().__init__(exc_type, value, exc_path, exc_args, remote_traceback)
        self.exc_type = exc_type
        self.value = value
        self.exc_path = exc_path
        self.exc_args = exc_args
        self.remote_traceback = remote_traceback

    def __str__(self) -> str:
        return f'{self.exc_type}: {self.value}'


class CallTimeoutError(RPCError):
    """No reply came within the call's time; it may have been run, or still be."""


class CallLostError(CallTimeoutError):
    """No reply came within the call's time, in which the connection was lost; the reply may be lost too."""


class ArgumentsError(GreenmicroError):
    """A request's arguments do not fit the target; it was not called.

    Args:
        kind: `malformed`, where the request has no arguments in the form that it should, or `signature`.
        text: What was wanted and what was found.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text

    def __str__(self) -> str:
        return self.text


class StopTimeoutError(GreenmicroError):
    """Work was still running at the stop's deadline; it was interrupted and given back."""


class TargetTimeoutError(BaseException):
    """A target ran longer than its time limit.

    A BaseException, so that a target's `except Exception` does not swallow it.
    """
