"""`python -m aicore`: the same as the `aicore` command."""

from aicore.cli import main

if __name__ == "__main__":
    main()
