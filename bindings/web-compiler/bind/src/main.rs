//! `bind MODULE.wasm FOLDER`: writes the module and its JavaScript for pages. Built of the library that wasm-bindgen's command line is made of, which has far fewer
//! dependencies than the command line.

use std::process::ExitCode;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, folder] = &arguments[..] else {
        eprintln!("usage: bind MODULE.wasm FOLDER");
        return ExitCode::from(2);
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module);
    // The page says where the module is. Names of functions are a fifth of it, and nobody there reads them.
    bindgen.typescript(true).omit_default_module_path(true).remove_name_section(true);
    let written = bindgen.web(true).and_then(|bindgen| bindgen.generate(folder));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}
