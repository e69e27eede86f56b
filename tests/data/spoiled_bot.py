"""The echo bot, but one byte of the secret in its blob is wrong: its media must not be let in."""

import dataclasses

from mixminus.media.descriptor import MediaSessionDescriptor

written = MediaSessionDescriptor.to_blob


def spoiled(self: MediaSessionDescriptor) -> str:
    secret = bytearray(self.link_secret or b"")
    secret[7] ^= 1
    return written(dataclasses.replace(self, link_secret=bytes(secret)))


MediaSessionDescriptor.to_blob = spoiled  # type: ignore[method-assign]

from examples.echo_bot import bot  # noqa: E402, F401
