"""The file format of docs/format.md."""
