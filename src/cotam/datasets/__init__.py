"""Convert folders, shards and Ray datasets."""
