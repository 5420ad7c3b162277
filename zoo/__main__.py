"""`python -m zoo`: the command line from a plain checkout."""

from zoo.cli.app import main

main()
