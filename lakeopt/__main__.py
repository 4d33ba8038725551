"""``python -m lakeopt`` is the ``lakeopt`` program."""

from lakeopt.cli.app import main

if __name__ == "__main__":
    main()
