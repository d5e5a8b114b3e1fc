"""Encode and decode folders, shards and Ray datasets."""
