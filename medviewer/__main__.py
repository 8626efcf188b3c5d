"""`python -m medviewer`."""

from medviewer.cli.main import run

if __name__ == "__main__":
    run()
