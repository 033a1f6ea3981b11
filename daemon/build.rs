//! Makes the table of the pages' files, which are embedded as they lie in `src/web/assets`.
//!
//! A file that is added is served, one that is taken away is not: there is no list to keep. Must never read anything else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a build fails by a panic"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("src/web/assets");
    println!("cargo::rerun-if-changed={}", root.display());
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let mut table = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&root).unwrap().to_str().expect("a file's name is UTF-8");
        writeln!(table, "    (\"/{name}\", include_bytes!({:?})),", file.to_str().unwrap()).unwrap();
    }
    table.push(']');
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap()).join("assets.rs");
    std::fs::write(out, table).unwrap();
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("the pages' directory is read") {
        let path = entry.unwrap().path();
        // What editors leave behind is no page.
        if path.file_name().unwrap().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}
