"""``tradingnode``, also as ``python -m config``; a health check goes past click, which costs more than all of it."""

import sys


def _stop_in_peace() -> None:
    """Take the signals that stop a node before the imports, which last long enough to be hit; nothing is begun yet."""
    import os

    from config.signals import hear

    hear(lambda *_: os._exit(0))


def main() -> None:
    """Run the command of this process' arguments; ends with the documented exit codes."""
    if sys.argv[1:2] == ["health"]:
        import os

        from config.health.command import main as health

        sys.exit(health(sys.argv[2:], os.environ))
    if sys.argv[1:2] == ["run"]:
        _stop_in_peace()
    from config.cli import main as cli

    cli()


if __name__ == "__main__":
    main()
