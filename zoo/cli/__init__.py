"""The command line: one file for each group of commands. It only parses options and prints results."""
