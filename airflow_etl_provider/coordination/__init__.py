"""Who may act on a pipeline, what goes before what, and who hears of it."""
