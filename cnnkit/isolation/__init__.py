"""Decoding in processes of their own: a crash in a decoder harms only the image that caused it."""
