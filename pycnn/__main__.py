"""``python -m pycnn``."""

from pycnn.cli import main

if __name__ == "__main__":
    main()
