"""``tradingnode``, also as ``python -m config``; a health check goes past click, which costs more than all of it."""

import sys


def main() -> None:
    """Run the command of this process' arguments; ends with the documented exit codes."""
    if sys.argv[1:2] == ["health"]:
        import os

        from config.health import main as health

        sys.exit(health(sys.argv[2:], os.environ))
    from config.cli import main as cli

    cli()


if __name__ == "__main__":
    main()
