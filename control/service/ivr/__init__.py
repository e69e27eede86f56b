"""Service-hosted media: prompts, recordings and tones of calls whose audio this service handles."""
