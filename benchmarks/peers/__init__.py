"""What is measured: one adapter each, all started, pinned and asked the same way."""
