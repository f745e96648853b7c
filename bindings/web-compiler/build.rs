//! Tells the linker how much stack the module gets.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Deep expressions are walked recursively, as on a system's main thread with its 8 MiB; the linker's own choice is 1 MiB.
    if std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size=8388608");
    }
}
