"""The tasks of ``formers run``: each a command in a module of its own, with a line in the table ``cli.commands``."""
