#!/bin/sh
# Runs the tests of the crate that reads and writes by raw pointers under AddressSanitizer. The flag is unstable, so the stable compiler is asked to take it.
set -eu
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/sanitize" \
    cargo test --release -p mlp-kernels --target "$host" --lib "$@"
