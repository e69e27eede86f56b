"""The acceptance checks that users asked for, each with its figure."""
