//! Stdout, and notes on stderr.

use crate::failure::{Failure, Result};
use flushproof::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;

/// Buffered stdout. Flush it wherever somebody may wait for a line.
#[derive(Debug)]
pub struct Out {
    file: BufWriter<File>,
    /// Whether JSON was asked for.
    pub json: bool,
}

impl Out {
    /// Takes stdout.
    pub fn new(json: bool) -> Result<Out> {
        let fd = io::stdout().as_fd().try_clone_to_owned().map_err(failed)?;
        Ok(Out {
            file: BufWriter::with_capacity(64 * 1024, File::from(fd)),
            json,
        })
    }

    /// Writes bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(failed)
    }

    /// Writes a line.
    pub fn line(&mut self, text: impl std::fmt::Display) -> Result<()> {
        writeln!(self.file, "{text}").map_err(failed)
    }

    /// Writes a result: the object with `--json`, else the text.
    pub fn result(&mut self, json: &serde_json::Value, text: impl std::fmt::Display) -> Result<()> {
        match self.json {
            true => self.line(json)?,
            false => self.line(text)?,
        }
        self.flush()
    }

    /// Hands everything to the reader.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(failed)
    }
}

fn failed(e: io::Error) -> Failure {
    match e.kind() {
        io::ErrorKind::BrokenPipe => Failure::ClosedStdout,
        _ => Error::io("can't write to stdout", e).into(),
    }
}

/// Says something beside the result, on stderr.
pub fn note(text: impl std::fmt::Display) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "note: {text}");
}
