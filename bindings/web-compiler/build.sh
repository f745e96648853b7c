#!/usr/bin/env bash
# Builds the compiler for pages: dist/mlp_web_compiler.js, its types, and the WebAssembly module beside it.
#
# Rust's wasm32-unknown-unknown target is taken from rustup where rustup has it or can fetch it. On Debian and Ubuntu without it, the distribution's `rustc-web` and the
# source of its library are unpacked below target/, and the library is built with the compiler.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
target=wasm32-unknown-unknown
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}"

# depends PACKAGE PREFIX: the package with that prefix and a version in its name that a package depends on.
depends() { apt-cache depends "$1" | sed -n "s/^ *Depends: \($2[0-9.]*\)\$/\1/p" | head -n 1; }

# Debian's compiler, for who cannot have rustup's target.
debian() {
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "missing: Rust's target $target. Install it with \`rustup target add $target\`." >&2
    exit 1
  fi
  local prefix="$CARGO_TARGET_DIR/rustc-web"
  if [ ! -x "$prefix/usr/bin/rustc" ]; then
    local sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -q >&2
    local library llvm
    library=$(depends libstd-rust-web-dev libstd-rust-web-)
    llvm=$(depends "$library" libllvm)
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends "$llvm" >&2
    rm -rf "$prefix.new" "$prefix.debs"
    mkdir -p "$prefix.debs"
    (cd "$prefix.debs" && apt-get download -q rustc-web libstd-rust-web-dev "$library" rust-web-src >&2)
    for package in "$prefix.debs"/*.deb; do dpkg -x "$package" "$prefix.new"; done
    rm -rf "$prefix" "$prefix.debs"
    mv "$prefix.new" "$prefix"
  fi
  export RUSTC="$prefix/usr/bin/rustc"
  export LD_LIBRARY_PATH="$prefix/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || echo "$(uname -m)-linux-gnu")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  # The library is built with what needs it, which a stable cargo does when it is told so.
  export RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=core,alloc,std,panic_abort
  # Debian's compiler has no linker for the target; the one that came with rustup's does.
  local lld
  lld=$(find "${RUSTUP_HOME:-$HOME/.rustup}/toolchains" -path '*/rustlib/*/bin/rust-lld' 2>/dev/null | sort | tail -n 1)
  [ -z "$lld" ] || export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$lld"
}

has_target() { [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; }

can_have_target() { has_target || { command -v rustup >/dev/null 2>&1 && rustup target add "$target" >&2 && has_target; }; }

# `build.sh debian` takes Debian's compiler whatever else there is.
if [ "${1:-}" = debian ] || ! can_have_target; then debian; fi

# A page downloads it, so it is made small. What runs on this machine meanwhile (macros, build scripts) is shared with other release builds.
(
  cd "$root"
  export CARGO_PROFILE_RELEASE_OPT_LEVEL=s CARGO_PROFILE_RELEASE_DEBUG=false
  cargo build --locked --release --target "$target" -p mlp-web-compiler
)

# The program that writes the JavaScript runs here, so it is built as everything else is, without those settings.
unset RUSTC RUSTC_BOOTSTRAP CARGO_UNSTABLE_BUILD_STD
(cd "$root/bindings/web-compiler/bind" && cargo build --locked --release)

rm -rf dist
"$CARGO_TARGET_DIR/release/mlp-web-compiler-bind" "$CARGO_TARGET_DIR/$target/release/mlp_web_compiler.wasm" dist
