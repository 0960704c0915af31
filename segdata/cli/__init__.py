"""The command line: one file a command, named as its library twin."""
