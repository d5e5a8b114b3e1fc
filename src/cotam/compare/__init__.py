"""Compare image formats by what models see and read: `cotam compare`."""
