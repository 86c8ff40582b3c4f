"""What a request can do wrong. `problems` gives each its HTTP status; nothing else knows them."""

from __future__ import annotations

from agelens.errors import AgelensError


class RequestError(AgelensError):
    """The request's body cannot be understood."""


class ParameterError(AgelensError):
    """A parameter of the query, or a text field of a form, cannot be used."""


class MediaTypeError(RequestError):
    """The body is of a type that holds no picture."""


class BodyTooLargeError(RequestError):
    """The body has more bytes, or more pictures, than the limit."""


class SlowRequestError(RequestError):
    """The body did not arrive in time."""


class KeyRefusedError(AgelensError):
    """No API key, or one that is not known."""


class BusyError(AgelensError):
    """More is waiting than the service takes on. Come back in `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateError(BusyError):
    """This client asks too often."""


class DeadlineError(AgelensError):
    """There was no answer in time."""


class DecoderDiedError(AgelensError):
    """A picture ended the process that decoded it."""


class OriginRefusedError(AgelensError):
    """Pages of this origin may not use the service."""


class TrackingMissingError(AgelensError):
    """What follows faces is not installed."""


class UrlRefusedError(AgelensError):
    """The service does not fetch this address."""


class FetchError(AgelensError):
    """An address gave no picture."""
