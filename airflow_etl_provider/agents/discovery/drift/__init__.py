"""Notice: what is another way than it was, told apart from chance."""
