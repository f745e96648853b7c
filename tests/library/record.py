"""Records what the libraries that people know compute, beside the pipelines of this folder.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python record.py            # all modules
    venv/bin/python record.py tensor     # one

Each `<module>.npz` holds `<Pipeline>/in/<input>` and `<Pipeline>/out/<field>`; a pipeline whose answer is no record has the field `value`.
The numbers come from a fixed generator, so that a second run writes the same files but for the libraries' versions.
"""

import importlib
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

MODULES = ["tensor", "vision", "audio", "tabular", "text"]


def save(path, arrays):
    """As `numpy.savez_compressed`, with one date for all, so that equal arrays are equal files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in sorted(arrays.items()):
            data = io.BytesIO()
            np.lib.format.write_array(data, np.asarray(array, order="C"))
            archive.writestr(zipfile.ZipInfo(name + ".npy", (2026, 1, 1, 0, 0, 0)), data.getvalue(), zipfile.ZIP_DEFLATED)


def main():
    folder = Path(__file__).parent
    sys.path.insert(0, str(folder))
    for module in sys.argv[1:] or MODULES:
        arrays = {}
        for pipeline, inputs, outputs in importlib.import_module(f"record_{module}").cases():
            arrays |= {f"{pipeline}/in/{name}": np.asarray(value) for name, value in inputs.items()}
            arrays |= {f"{pipeline}/out/{name}": np.asarray(value) for name, value in outputs.items()}
        save(folder / f"{module}.npz", arrays)
        print(module, len(arrays), "arrays,", (folder / f"{module}.npz").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
