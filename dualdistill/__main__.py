"""Entry point of `python -m dualdistill`."""

import sys

from dualdistill.cli import main

if __name__ == "__main__":
    sys.exit(main())
