"""The bot host: what a bot's author writes against."""

from .bot import Bot
from .call import HostedCall
from .host import BotHost

__all__ = ["Bot", "BotHost", "HostedCall"]
