"""How fast this machine estimates ages, and what one process of it costs."""
