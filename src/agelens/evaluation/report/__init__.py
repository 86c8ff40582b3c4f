"""What an evaluation found, in the terminal, as a page and as a model card."""
