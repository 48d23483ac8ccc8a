"""`python -m meanshape` is `meanshape`."""

import sys

from meanshape.apps.cli import main

if __name__ == "__main__":
    sys.exit(main())
