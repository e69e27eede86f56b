"""Settings: one TOML file and the environment, checked, each value with where it came from."""
