"""placeholder"""
LOW, HIGH, UNSIGNED = -128, 127, 255
