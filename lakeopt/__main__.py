"""``python -m lakeopt`` is the ``lakeopt`` program."""

import sys

from lakeopt.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
