"""`python -m zoo`: the command line from a plain checkout."""

from zoo.cli import main

main()
