//! [`Narrator`]: says what happens, and remembers what was checked.

use crate::failure::Result;
use crate::output::Out;
use crate::units::short;
use serde_json::{Value, json};
use std::time::Duration;

/// Tells a story and its checks.
pub struct Narrator<'a> {
    out: &'a mut Out,
    checks: Vec<(bool, String)>,
}

impl Narrator<'_> {
    pub fn new(out: &mut Out) -> Narrator<'_> {
        Narrator {
            out,
            checks: Vec::new(),
        }
    }

    /// Begins a chapter.
    pub fn chapter(&mut self, text: &str) -> Result<()> {
        self.line(&format!("\n{text}"))
    }

    /// Says a sentence.
    pub fn say(&mut self, text: &str) -> Result<()> {
        self.line(&format!("   {text}"))
    }

    /// Says whether a check holds.
    pub fn check(&mut self, holds: bool, text: String) -> Result<()> {
        let word = if holds { "ok    " } else { "FAILED" };
        self.line(&format!("   {word}  {text}"))?;
        self.checks.push((holds, text));
        Ok(())
    }

    /// Says how it ended: whether all checks hold.
    pub fn end(self, took: Duration) -> Result<bool> {
        let all = self.checks.len();
        let good = self.checks.iter().filter(|(holds, _)| *holds).count();
        let rows: Vec<Value> = self
            .checks
            .iter()
            .map(|(holds, text)| json!({ "ok": holds, "text": text }))
            .collect();
        let object = json!({ "ok": good == all, "checks": rows, "seconds": took.as_secs_f64() });
        let text = match good == all {
            true => format!("\nAll {all} checks hold ({}).", short(took)),
            false => format!("\n{} of {all} checks FAILED ({}).", all - good, short(took)),
        };
        self.out.result(&object, text)?;
        Ok(good == all)
    }

    fn line(&mut self, text: &str) -> Result<()> {
        if self.out.json {
            return Ok(());
        }
        self.out.line(text)?;
        self.out.flush()
    }
}
