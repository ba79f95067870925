"""The Data Discovery agent: what is there, what is in it, what changed."""
