"""Bot hosts beside each other: who lives, who has which call, and who goes on with it."""
