"""The web page's built files: where they are, and how they are exported."""
