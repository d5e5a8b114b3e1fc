"""Where other programs find Cotam: a module for each."""
