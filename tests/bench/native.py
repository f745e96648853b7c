#!/usr/bin/env python3
"""Times mlpc's native backend beside onnxruntime, tract, rten and LiteRT on the same models and inputs, turn by turn.

Usage: tests/bench/native.py [MODEL.onnx ...] [options]; --help lists them, and README.md beside this file says what is measured.

Needs numpy and a release build of mlpc. A peer that is not installed is named as absent:
  pip install onnxruntime ai-edge-litert
  cargo build --release --manifest-path tests/bench/peers/Cargo.toml --target-dir target/peers
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile

try:
    import numpy
except ImportError:
    sys.exit("numpy is missing: pip install numpy")

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODELS = ROOT.parent / "shared" / "models"
PEERS = ["onnxruntime", "litert", "tract", "rten"]
DTYPES = {"f32": "float32", "f64": "float64", "i64": "int64", "i32": "int32", "u8": "uint8", "i8": "int8", "bool": "bool"}
FEATURES = ["avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm"]


def main() -> int:
    arguments = parse()
    compiler = find_compiler(arguments.mlpc)
    absent = {name: reason for name in arguments.peer if (reason := absence(name))}
    contenders = ["mlp"] + [name for name in arguments.peer if name not in absent]
    rows, peaks = [], {}
    with tempfile.TemporaryDirectory(prefix="mlp-bench-") as folder:
        for model in arguments.models or default_models():
            case = prepare(compiler, model, arguments, pathlib.Path(folder))
            for threads in arguments.threads:
                measured = measure(case, contenders, threads, arguments)
                rows += measured
                for row in measured:
                    peaks[threads] = best(peaks.get(threads), row.pop("peak", None))
                    if not arguments.json:
                        print_row(row)
    for row in rows:
        row["roofline"] = roofline(row, peaks[row["threads"]])
    result = {
        "schema": 1,
        "kind": "native",
        "machine": machine(compiler, contenders),
        "peaks": [{"threads": threads, "setting": group(threads), **peak} for threads, peak in peaks.items() if peak],
        "settings": {"rounds": arguments.rounds, "seconds": arguments.seconds},
        "rows": rows,
        "absent": [{"contender": name, "reason": reason} for name, reason in absent.items()],
    }
    text = json.dumps(result, indent=1) + "\n"
    if arguments.json:
        print(text, end="")
    if arguments.out:
        arguments.out.write_text(text)
    if arguments.docs:
        folder = ROOT / "docs" / "benchmarks"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "native.json").write_text(text)
        return subprocess.run([sys.executable, HERE / "report.py", folder]).returncode
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Times mlpc's native backend beside its peers, turn by turn.")
    parser.add_argument("models", nargs="*", type=pathlib.Path, help="ONNX files; the development models, or the example's, where none is given")
    parser.add_argument("--threads", type=int, action="append", help="threads of each contender; repeat it; 1 and 2 where it is left out")
    parser.add_argument("--dim", action="append", default=[], metavar="NAME=SIZE", help="a symbolic size, of models without recorded inputs")
    parser.add_argument("--peer", action="append", choices=PEERS, help="a peer; repeat it; all where it is left out")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--seconds", type=float, default=0.5, help="the length of a turn")
    parser.add_argument("--prefix", type=shlex.split, default=[], help="a command that runs each turn, such as `taskset -c 0`")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--out", type=pathlib.Path, help="write the results to a file")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks/native.json, and render docs/benchmarks.md")
    parser.add_argument("--mlpc", help="the compiler; else the variable MLPC, target/release/mlpc, or the one on the path")
    arguments = parser.parse_args()
    arguments.threads = arguments.threads or [1, 2]
    arguments.peer = arguments.peer or PEERS
    return arguments


def default_models() -> list[pathlib.Path]:
    return sorted(MODELS.glob("*.onnx")) or [ROOT / "examples/objects/efficientnet_lite0.onnx"]


def find_compiler(given: str | None) -> str:
    built = ROOT / "target" / "release" / "mlpc"
    found = given or os.environ.get("MLPC") or (str(built) if built.exists() else shutil.which("mlpc"))
    if not found:
        sys.exit("mlpc was not found: build it with `cargo build --release`, or name it with --mlpc")
    return found


def rust_peers() -> pathlib.Path:
    return ROOT / "target" / "peers" / "release" / "peers"


def absence(peer: str) -> str | None:
    """Why a peer cannot be measured here; none where it can."""
    if peer in ("tract", "rten"):
        return None if rust_peers().exists() else "not built: cargo build --release --manifest-path tests/bench/peers/Cargo.toml --target-dir target/peers"
    package = {"onnxruntime": "onnxruntime", "litert": "ai-edge-litert"}[peer]
    try:
        importlib.metadata.version(package)
        return None
    except importlib.metadata.PackageNotFoundError:
        return f"not installed: pip install {package}"


class Case:
    """A model with its bundle and inputs; `failure` says why there is no bundle."""

    def __init__(self, model: pathlib.Path):
        self.model = model
        self.name = model.stem
        self.bundle = self.inputs = self.data = self.failure = None


def prepare(compiler: str, model: pathlib.Path, arguments: argparse.Namespace, folder: pathlib.Path) -> Case:
    case = Case(model)
    recorded = model.with_suffix(".npz")
    case.bundle = folder / case.name
    sizes = ["--data", str(recorded)] if recorded.exists() else [part for dim in arguments.dim for part in ("--dim", dim)]
    done = subprocess.run([compiler, "build", str(model), "-o", str(case.bundle), *sizes], capture_output=True, text=True)
    if done.returncode:
        case.failure = done.stderr.strip()
        return case
    pipeline = json.loads((case.bundle / "manifest.json").read_text())["pipelines"][0]
    arrays = numpy.load(recorded) if recorded.exists() else None
    random = numpy.random.default_rng(1)
    entries, data = [], {}
    for field in pipeline["inputs"]:
        dtype = DTYPES[field["type"]["dtype"]]
        if arrays is not None:
            array = arrays[f"in:{field['name']}"].astype(dtype)
        else:
            noise = random.uniform(-1, 1, field["type"]["shape"])
            array = (noise if dtype.startswith("float") else noise > 0).astype(dtype)
        file = folder / f"{case.name}.{len(entries)}.bin"
        numpy.ascontiguousarray(array).tofile(file)
        entries.append({"name": field["name"], "dtype": dtype, "shape": list(array.shape), "file": str(file)})
        data[f"in:{field['name']}"] = array
    case.inputs = folder / f"{case.name}.json"
    case.inputs.write_text(json.dumps(entries))
    case.data = folder / f"{case.name}.npz"
    numpy.savez(case.data, **data)
    case.compiler = compiler
    return case


def command(case: Case, contender: str, threads: int, seconds: float) -> list[str] | str:
    """What times a contender once, or why it cannot take the model."""
    if contender == "mlp":
        return [case.compiler, "bench", str(case.bundle), "--data", str(case.data), "--threads", str(threads), "--seconds", str(seconds), "--json"]
    model = case.model
    if contender == "litert":
        model = case.model.with_suffix(".tflite")
        if not model.exists():
            return f"there is no {model.name}"
    rest = [str(model), str(case.inputs), str(threads), str(seconds)]
    if contender in ("tract", "rten"):
        return [str(rust_peers()), contender, *rest]
    return [sys.executable, str(HERE / "peer.py"), contender, *rest]


def measure(case: Case, contenders: list[str], threads: int, arguments: argparse.Namespace) -> list[dict]:
    """A row for each contender: they take turns, so that what else the machine does falls on all."""
    if case.failure:
        return [failed(case, "mlp", threads, case.failure)]
    turns = {contender: [] for contender in contenders}
    reasons = {}
    for _ in range(arguments.rounds):
        for contender in contenders:
            if contender in reasons:
                continue
            once = command(case, contender, threads, arguments.seconds)
            if isinstance(once, str):
                reasons[contender] = once
                continue
            done = subprocess.run([*arguments.prefix, *once], capture_output=True, text=True)
            if done.returncode:
                reasons[contender] = (done.stderr.strip() or f"it stopped with {done.returncode}").splitlines()[-1]
                continue
            turns[contender].append(json.loads(done.stdout.strip().splitlines()[-1]))
    rows = []
    for contender in contenders:
        if contender not in reasons:
            rows.append(summary(case, contender, threads, turns[contender]))
        elif not (contender == "litert" and reasons[contender].startswith("there is no ")):
            rows.append(failed(case, contender, threads, reasons[contender]))
    ours = next((row for row in rows if row["ours"] and row["status"] == "ok"), None)
    for row in rows:
        if ours and row["status"] == "ok":
            row["macs"] = ours["macs"]
            row["gmacs"] = sum(ours["macs"].values()) / row["median_ms"] / 1e6
            row["ratio"] = row["median_ms"] / ours["median_ms"]
    return rows


def group(threads: int) -> str:
    return f"{threads} thread" + ("s" if threads > 1 else "")


def head(case: Case, contender: str, threads: int) -> dict:
    return {"model": case.name, "contender": contender, "ours": contender == "mlp", "group": group(threads), "threads": threads}


def failed(case: Case, contender: str, threads: int, reason: str) -> dict:
    return {**head(case, contender, threads), "status": "failed", "reason": reason}


def summary(case: Case, contender: str, threads: int, turns: list[dict]) -> dict:
    """The median over the turns of what each turn found."""
    def of(key: str) -> float:
        return statistics.median(turn[key] for turn in turns)

    for turn in turns:
        if "times_ms" in turn:
            times = sorted(turn.pop("times_ms"))
            turn.update(min_ms=times[0], median_ms=statistics.median(times), p95_ms=times[int(0.95 * (len(times) - 1))], runs=len(times))
    row = head(case, contender, threads) | {
        "status": "ok",
        "min_ms": min(turn["min_ms"] for turn in turns),
        "median_ms": of("median_ms"),
        "p95_ms": of("p95_ms"),
        "runs": sum(turn["runs"] for turn in turns),
        "load_ms": of("load_ms"),
        "first_ms": of("first_ms"),
        # What the model took beyond the process that had not opened it.
        "memory_bytes": of("resident_bytes") - of("base_bytes"),
        "resident_bytes": of("resident_bytes"),
        "macs": turns[0].get("macs"),
        "weight_bytes": turns[0].get("weight_bytes"),
        "device": turns[0].get("device"),
    }
    for turn in turns:
        row["peak"] = best(row.get("peak"), turn.get("peak"))
    return row


def best(a: dict | None, b: dict | None) -> dict | None:
    """The higher of two peaks, number by number."""
    return {key: max(a[key], b[key]) for key in a} if a and b else a or b


def roofline(row: dict, peak: dict | None) -> float | None:
    """The part of the median that the multiply-accumulates would take at the peak."""
    if not peak or not row.get("macs") or row["status"] != "ok":
        return None
    least = (row["macs"]["f32"] / peak["f32_gmacs"] + row["macs"]["int8"] / peak["int8_gmacs"]) / 1e6
    return least / row["median_ms"]


def machine(compiler: str, contenders: list[str]) -> dict:
    versions = {"mlp": subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout.split()[-1]}
    for peer, package in (("onnxruntime", "onnxruntime"), ("litert", "ai-edge-litert")):
        if peer in contenders:
            versions[peer] = importlib.metadata.version(package)
    lock = HERE / "peers" / "Cargo.lock"
    for peer, package in (("tract", "tract-onnx"), ("rten", "rten")):
        if peer in contenders and lock.exists() and f'name = "{package}"\nversion = "' in lock.read_text():
            versions[peer] = lock.read_text().split(f'name = "{package}"\nversion = "')[1].split('"')[0]
    cpu, flags = platform.machine(), []
    if pathlib.Path("/proc/cpuinfo").exists():
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                cpu = value.strip()
            elif name.strip() in ("flags", "Features"):
                flags = value.split()
    features = [feature for feature in FEATURES if feature in flags]
    return {"cpu": cpu, "cores": os.cpu_count(), "features": features, "system": f"{platform.system()} {platform.machine()}", "versions": versions}


def print_row(row: dict) -> None:
    title = f"{row['model']:<26} {row['group']:<10} {row['contender']:<12}"
    if row["status"] != "ok":
        print(f"{title} cannot: {row['reason'][:100]}", flush=True)
        return
    ratio = "" if row["ours"] else f"{row.get('ratio', 0):6.2f}x"
    print(f"{title} {row['median_ms']:9.3f} ms {ratio:>8}  load {row['load_ms']:7.1f}  first {row['first_ms']:7.1f}  memory {row['memory_bytes'] / 1e6:6.1f} MB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
