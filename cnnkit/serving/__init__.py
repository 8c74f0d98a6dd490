"""The HTTP service: an ASGI application around anything that turns an image into a row.

It knows no capability: `cnnkit.commands.serve` passes it what answers each task. What comes from a
client is bounded before it is read, and nothing of it is kept.
"""
