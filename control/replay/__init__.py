"""Captures of hosted calls, and their replay through the same bot."""
