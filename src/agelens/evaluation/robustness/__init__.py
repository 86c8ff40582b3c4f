"""How much worse estimates get in bad conditions."""
