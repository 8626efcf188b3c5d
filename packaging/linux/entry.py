"""The frozen program's entry: child processes of multiprocessing start here too."""

import multiprocessing

if __name__ == "__main__":
    multiprocessing.freeze_support()
    from medviewer.cli.main import run

    run()
