#!/bin/sh
# Runs the tests of the micro-kernels and of the native backend for ARM, in QEMU's emulation where this machine is another one.
# On Debian: apt-get install qemu-user-static gcc-aarch64-linux-gnu; and `rustup target add aarch64-unknown-linux-gnu`.
set -eu
cd "$(dirname "$0")/.."
export CARGO_BUILD_TARGET=aarch64-unknown-linux-gnu
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/arm64"
if [ "$(uname -m)" != aarch64 ]; then
    for command in aarch64-linux-gnu-gcc qemu-aarch64-static; do
        command -v "$command" >/dev/null || { echo "missing: $command (see the head of $0)" >&2; exit 1; }
    done
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    # The compiler's own library path means nothing to the emulated program.
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="env -u LD_LIBRARY_PATH qemu-aarch64-static -L /usr/aarch64-linux-gnu -cpu max"
fi
cargo test --release -p mlp-kernels -p mlp-native --tests "$@"
