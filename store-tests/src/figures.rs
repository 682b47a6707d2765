//! What the long scenarios did, for the table of `cargo xtask soak`.

use std::io::Write;

/// Adds a line to the file that `FLUSHPROOF_FIGURES` names, if it names one:
/// `KEY=VALUE` and tabs between. `variable` is what set the number of rounds. Called
/// when everything was checked: a line says that nothing was lost.
pub(crate) fn note(what: &str, variable: &str, rounds: u64, more: &[(&str, String)]) {
    let Some(file) = std::env::var_os("FLUSHPROOF_FIGURES") else {
        return;
    };
    let mut line = format!("what={what}\tvariable={variable}\trounds={rounds}");
    for (key, value) in more {
        line.push_str(&format!("\t{key}={value}"));
    }
    line.push('\n');
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file);
    file.unwrap().write_all(line.as_bytes()).unwrap();
}
