"""The demo: a call between three processes, and the proof that its echo came back."""
