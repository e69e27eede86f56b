"""What a request to Graph may end with, in one place."""

from __future__ import annotations

from typing import Final

from .requests import GraphConnectionError, GraphRequestError
from .tokens import TokenError

CLIENT_ERRORS: Final = (GraphRequestError, GraphConnectionError, TokenError)
