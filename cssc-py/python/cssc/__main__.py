"""The command ``cssc``, as ``python -m cssc`` runs it."""

from __future__ import annotations

import signal
import sys

from cssc import _native


def main() -> None:
    """Run the command line and exit with its code."""
    # Python would wait for the command to return before it raises KeyboardInterrupt. The command
    # reacts to Ctrl-C by itself.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_native.main(["cssc", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
