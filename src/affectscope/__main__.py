"""``python -m affectscope``."""

import sys

from affectscope.cli import main

if __name__ == "__main__":
    sys.exit(main())
