"""`zoo` and `python -m zoo`: the command line, also from a plain checkout."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is still being imported ends it as later on."""
    try:
        from zoo.cli.app import main as run

        run()
    except KeyboardInterrupt:
        print("zoo: stopped by Ctrl-C", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
