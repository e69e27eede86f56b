"""Simulators of telephony services: they ring a bot with a file, offline and without an account."""
