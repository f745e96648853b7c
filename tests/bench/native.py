#!/usr/bin/env python3
"""Times onnxruntime and `mlpc bench` on the same models, one thread each, turn by turn.

Usage: tests/bench/native.py [MODEL.onnx ...] [--rounds N] [--seconds S] [--json] [--mlpc FILE]

Needs `pip install onnxruntime numpy` and a release build of mlpc. Without models it takes EfficientNet-Lite0: the int8 one of the objects
example, and the others where the development models are.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT.parent / "shared" / "models"
DEFAULTS = [
    MODELS / "efficientnet_lite0.onnx",
    MODELS / "efficientnet_lite0_qdq.onnx",
    MODELS / "efficientnet_lite0_qop.onnx",
]
ELEMENTS = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(uint8)": "uint8", "tensor(int8)": "int8"}


def main() -> int:
    arguments = parse()
    try:
        import numpy
        import onnxruntime
    except ImportError as error:
        print(f"{error.name} is missing: pip install onnxruntime numpy", file=sys.stderr)
        return 2
    compiler = find_compiler(arguments.mlpc)
    rows = []
    for model in arguments.models or default_models():
        peer = Peer(onnxruntime, numpy, model)
        theirs, ours = [], []
        for _ in range(arguments.rounds):
            theirs.append(peer.median(arguments.seconds))
            ours.append(bench(compiler, model, arguments.seconds))
        row = {
            "name": model.stem,
            "onnxruntime_ms": statistics.median(theirs),
            "mlp_ms": statistics.median(report["median_ms"] for report in ours),
            "mlp_load_ms": statistics.median(report["load_ms"] for report in ours),
            "onnxruntime_load_ms": peer.load_ms,
            "onnxruntime": onnxruntime.__version__,
            "threads": 1,
        }
        row["ratio"] = row["mlp_ms"] / row["onnxruntime_ms"]
        rows.append(row)
        if arguments.json:
            print(json.dumps(row), flush=True)
    if not arguments.json:
        print_table(rows)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Times onnxruntime and mlpc bench, one thread each, turn by turn.")
    parser.add_argument("models", nargs="*", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each, whose median counts")
    parser.add_argument("--seconds", type=float, default=2, help="the length of a turn")
    parser.add_argument("--json", action="store_true", help="one object a line")
    parser.add_argument("--mlpc", help="the compiler; else the variable MLPC, target/release/mlpc, or the one on the path")
    return parser.parse_args()


def default_models() -> list[pathlib.Path]:
    return [path for path in DEFAULTS if path.exists()] or [ROOT / "examples/objects/efficientnet_lite0.onnx"]


def find_compiler(given: str | None) -> str:
    built = ROOT / "target" / "release" / "mlpc"
    found = given or os.environ.get("MLPC") or (str(built) if built.exists() else shutil.which("mlpc"))
    if not found:
        sys.exit("mlpc was not found: build it with `cargo build --release`, or name it with --mlpc")
    return found


class Peer:
    """onnxruntime with one thread, on zeros of the model's shapes where a dimension without a size is 1."""

    def __init__(self, onnxruntime, numpy, model: pathlib.Path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        start = time.perf_counter()
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.load_ms = 1000 * (time.perf_counter() - start)
        random = numpy.random.default_rng(1)
        self.feeds = {}
        for port in self.session.get_inputs():
            shape = [size if isinstance(size, int) else 1 for size in port.shape]
            self.feeds[port.name] = random.uniform(-1, 1, shape).astype(ELEMENTS[port.type])

    def median(self, seconds: float) -> float:
        for _ in range(3):
            self.session.run(None, self.feeds)
        times = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            self.session.run(None, self.feeds)
            times.append(1000 * (time.perf_counter() - start))
        return statistics.median(times)


def bench(compiler: str, model: pathlib.Path, seconds: float) -> dict:
    command = [compiler, "bench", str(model), "--backend", "native", "--threads", "1", "--seconds", str(seconds), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr or done.stdout}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def print_table(rows: list[dict]) -> None:
    print(f"{'model':<28}{'onnxruntime':>14}{'mlp':>12}{'ratio':>9}{'load':>12}")
    for row in rows:
        print(f"{row['name']:<28}{row['onnxruntime_ms']:>11.2f} ms{row['mlp_ms']:>9.2f} ms{row['ratio']:>9.2f}{row['mlp_load_ms']:>9.0f} ms")


if __name__ == "__main__":
    sys.exit(main())
