"""Audio plugins: what they are, how they are found and configured, what runs them."""
