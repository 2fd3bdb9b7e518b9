"""``python -m solver``."""

from solver.cli.main import entry

if __name__ == "__main__":
    entry()
