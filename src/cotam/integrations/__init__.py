"""Where other programs find Cotam: a module for each, which imports its library when it is used."""
