"""Self-contained reports: figures in one style, and one HTML page that needs no network."""
