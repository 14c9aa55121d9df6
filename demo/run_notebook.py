"""Executes demo/demo.ipynb from top to bottom, as Jupyter would.

    CLASSIFIER_URL=… X_API_KEY=… .cache/python/bin/python demo/run_notebook.py OUTPUT.ipynb

Writes the notebook with its outputs; fails at the first cell that does.
"""

import pathlib
import sys

import nbformat
from nbclient import NotebookClient

FOLDER = pathlib.Path(__file__).resolve().parent


def main():
    notebook = nbformat.read(FOLDER / "demo.ipynb", as_version=4)
    resources = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    for cell in notebook.cells:
        # When each cell ran, which would differ at each run.
        cell.metadata.pop("execution", None)
    nbformat.write(notebook, sys.argv[1])


if __name__ == "__main__":
    main()
