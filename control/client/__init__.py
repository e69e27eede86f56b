"""A client of the Graph Cloud Communications API: tokens, requests, calls, notifications."""
