"""The bytes of files, as docs/format.md specifies them."""
