"""``python -m dotally`` is ``dotally``."""

import sys

from dotally.cli import main

if __name__ == "__main__":
    sys.exit(main())
