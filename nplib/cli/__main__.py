"""``python -m nplib.cli`` is ``nplib``."""

from nplib.cli import main

if __name__ == "__main__":
    main()
