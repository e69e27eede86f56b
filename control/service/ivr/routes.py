"""Where recorded responses are fetched: ``recordingLocation``, opened by its access token.

Source: Microsoft Graph, call: recordResponse.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from ...graph import errors
from .recordings import PATH, Recordings


def recordings_router(recordings: Recordings) -> APIRouter:
    """Serve *recordings*, each to whoever has its token."""
    router = APIRouter(prefix=PATH, tags=["recordings"])

    @router.get(
        "/{recording_id}",
        response_class=Response,
        responses={
            200: {
                "description": "A WAV file: PCM of 16 bit, mono, 16 kHz.",
                "content": {
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
                },
            },
            401: {"description": "The token is missing or another's."},
            404: {"description": "There is no such recording, or no longer."},
        },
    )
    async def get_recording(recording_id: str, request: Request) -> Response:
        """Return a recorded response."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.casefold() != "bearer" or not token.strip():
            raise errors.unauthenticated("expected the recordingAccessToken as a bearer token")
        recording = recordings.find(recording_id)
        if recording is None:
            raise errors.not_found("Recording")
        if not recording.is_opened_by(token.strip()):
            raise errors.unauthenticated("the token is not the one of this recording")
        try:
            wav = await recording.read()
        except FileNotFoundError:
            # Its time was over between the look and the reading.
            raise errors.not_found("Recording") from None
        return Response(
            wav,
            media_type="application/octet-stream",
            headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
        )

    return router
