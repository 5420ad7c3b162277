"""The command line: a file a group of commands, nothing but parsing and printing."""
