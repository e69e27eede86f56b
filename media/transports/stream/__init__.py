"""Telephony over WebSockets: one transport, and a small file for each dialect."""

from .acs import AcsDialect, AcsService
from .connection import (
    FAILED_CODE,
    POLICY_CODE,
    OpenStream,
    StreamError,
    connect_socket,
    open_stream,
)
from .dialect import Audio, Dialect, DialectFactory, Started, StreamFormat
from .transport import StreamTransport
from .twilio import TwilioDialect, TwilioService

__all__ = [
    "FAILED_CODE",
    "POLICY_CODE",
    "AcsDialect",
    "AcsService",
    "Audio",
    "Dialect",
    "DialectFactory",
    "OpenStream",
    "Started",
    "StreamError",
    "StreamFormat",
    "StreamTransport",
    "TwilioDialect",
    "TwilioService",
    "connect_socket",
    "open_stream",
]
