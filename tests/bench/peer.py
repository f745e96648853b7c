#!/usr/bin/env python3
"""Times one model with a peer that has a Python package, and prints one JSON object.

Usage: tests/bench/peer.py onnxruntime|litert MODEL INPUTS.json THREADS SECONDS

INPUTS.json is [{"name", "dtype", "shape", "file"}]; each file holds an input's little-endian bytes. A process a measurement, so that the greatest
resident memory is that of one model.
"""

import json
import sys
import time

import numpy


def main() -> int:
    peer, model, inputs, threads, seconds = sys.argv[1:]
    arrays = {
        entry["name"]: numpy.fromfile(entry["file"], dtype=entry["dtype"]).reshape(entry["shape"]) for entry in json.loads(open(inputs).read())
    }
    load = {"onnxruntime": load_onnxruntime, "litert": load_litert}[peer]
    ready = load(model, arrays, int(threads))
    base = resident()
    start = time.perf_counter()
    run = ready()
    load_ms = since(start)
    start = time.perf_counter()
    run()
    first_ms = since(start)
    for budget in (float(seconds) / 5, float(seconds)):
        times = []
        start = time.perf_counter()
        while len(times) < 3 or time.perf_counter() - start < budget:
            once = time.perf_counter()
            run()
            times.append(since(once))
    print(json.dumps({"times_ms": times, "load_ms": load_ms, "first_ms": first_ms, "resident_bytes": resident(), "base_bytes": base}))
    return 0


def load_onnxruntime(model, arrays, threads):
    import onnxruntime

    def ready():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        feeds = {port.name: arrays[port.name] for port in session.get_inputs()}
        return lambda: session.run(None, feeds)

    return ready


def load_litert(model, arrays, threads):
    from ai_edge_litert.interpreter import Interpreter

    def ready():
        interpreter = Interpreter(model_path=model, num_threads=threads)
        interpreter.allocate_tensors()
        ports = interpreter.get_input_details()
        values = []
        for port, array in zip(ports, arrays.values(), strict=True):
            shape = tuple(port["shape"])
            # Converted networks take their images channels last.
            array = array.transpose(0, 2, 3, 1) if array.ndim == 4 and array.shape != shape else array
            values.append((port["index"], numpy.ascontiguousarray(array.astype(port["dtype"]))))
        outputs = [port["index"] for port in interpreter.get_output_details()]

        def run():
            for index, value in values:
                interpreter.set_tensor(index, value)
            interpreter.invoke()
            return [interpreter.get_tensor(index) for index in outputs]

        return run

    return ready


def since(start: float) -> float:
    return 1000 * (time.perf_counter() - start)


def resident() -> int:
    """The greatest resident memory so far, in bytes."""
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("the system does not tell the resident memory")


if __name__ == "__main__":
    sys.exit(main())
