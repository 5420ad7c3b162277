"""The entry point of `zoo` and `python -m zoo`."""

import sys


def main() -> None:
    """Run the command line. Ctrl-C during its imports ends it like Ctrl-C later."""
    try:
        from zoo.cli.app import main as run

        run()
    except KeyboardInterrupt:
        print("zoo: stopped by Ctrl-C", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
