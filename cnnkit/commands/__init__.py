"""What each command does, as one typed function: the public Python interface of the commands.

A module here joins capabilities, which never import each other; `cnnkit.cli` projects its function
on the command line, and `cnnkit` itself exports it.
"""
