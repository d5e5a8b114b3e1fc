"""Full-reference metrics of decoded images."""
