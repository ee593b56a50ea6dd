"""How fast a run is, what it says while it runs, and what it leaves behind."""
