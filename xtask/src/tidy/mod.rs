//! Rules of this repository as code. Each names the place and what to do.
//!
//! What the compiler and clippy watch over is not repeated here: `missing_docs`,
//! `unwrap_used`, `expect_used`, `todo`. Rust files outside the workspace
//! (`bench/peers`, `journal/fuzz`) are read too.

mod rules;
mod source;

use crate::run::{Part, Step, root};
use source::Source;
use std::path::{Path, PathBuf};

/// Checks all rules.
pub fn step() -> Step {
    Step::code("tidy", Part::Build, "cargo xtask tidy", check)
}

fn check() -> Result<(), String> {
    let sources = read(&root())?;
    let mut found: Vec<String> = sources.iter().flat_map(rules::of_a_file).collect();
    found.extend(rules::of_all(&sources));
    if found.is_empty() {
        println!("{} Rust files are tidy", sources.len());
        return Ok(());
    }
    found.sort();
    for line in &found {
        println!("{line}");
    }
    Err(format!("{} places are not tidy", found.len()))
}

/// Every Rust file below `root`.
fn read(root: &Path) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let failed = |e: std::io::Error| format!("{}: {e}", root.join(&folder).display());
        for entry in std::fs::read_dir(root.join(&folder)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = folder.join(&name);
            if entry.file_type().map_err(failed)?.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(root.join(&path)).map_err(failed)?;
                sources.push(Source::new(&path.to_string_lossy(), &text));
            }
        }
    }
    Ok(sources)
}
