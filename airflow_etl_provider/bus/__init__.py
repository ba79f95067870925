"""Messages between parts of a deployment: events, and the buses that carry them."""
