"""Encryption of bytes at rest, and the keys for it. Needs the extra `encryption`."""
