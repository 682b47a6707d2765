//! `journal verify`: reads everything and gives a verdict.

use crate::failure::{CORRUPT, Failure, IN_PROGRESS, Result, TORN};
use crate::open;
use crate::output::Out;
use crate::progress;
use crate::units::{count, entries, size};
use flushproof::{Config, Finding, Verdict, Verification};
use serde_json::{Value, json};

/// Verifies, prints what was found, and ends with the verdict's exit code.
pub async fn run(config: &Config, out: &mut Out) -> Result<()> {
    let reader = open::reader(config).await?;
    let bar = progress::bytes(0, "verifying");
    let report = reader
        .verify(|read, total| {
            bar.set_length(total);
            bar.set_position(read);
        })
        .await;
    bar.finish_and_clear();
    let report = report?;
    if out.json {
        out.line(object(&report))?;
    } else {
        print(&report, out)?;
    }
    out.flush()?;
    match report.verdict() {
        Verdict::Clean => Ok(()),
        Verdict::Torn => Err(Failure::Said(TORN)),
        Verdict::InProgress => Err(Failure::Said(IN_PROGRESS)),
        Verdict::Corrupt => Err(Failure::Said(CORRUPT)),
    }
}

fn object(report: &Verification) -> Value {
    let findings = report.findings.iter().map(|f| {
        json!({
            "verdict": f.verdict.as_str(),
            "path": f.path,
            "offset": f.offset,
            "entries": f.entries.map(|(from, to)| [from.0, to.0]),
            "text": f.text,
        })
    });
    json!({
        "verdict": report.verdict().as_str(),
        "segments": report.segments,
        "checkpoints": report.checkpoints,
        "entries": report.entries,
        "bytes": report.bytes,
        "durable": report.durable.0,
        "end": report.end.0,
        "findings": findings.collect::<Vec<_>>(),
    })
}

fn print(report: &Verification, out: &mut Out) -> Result<()> {
    for finding in &report.findings {
        out.line(line(finding))?;
    }
    out.line(format_args!(
        "read {} segments ({}), {} checkpoints, {}; durable below {}, end {}",
        count(report.segments),
        size(report.bytes),
        count(report.checkpoints),
        entries(report.entries),
        report.durable,
        report.end,
    ))?;
    out.line(match report.verdict() {
        Verdict::Clean => "verdict: clean",
        Verdict::InProgress => "verdict: in progress: a primary is writing; all before is whole",
        Verdict::Torn => {
            "verdict: torn: a flush was cut short and never acknowledged; the next primary cuts it"
        }
        Verdict::Corrupt => {
            "verdict: corrupt: see above for place and cause. Nothing was changed: keep a copy of \
             the journal before anything else, and check the storage's own log"
        }
    })
}

fn line(finding: &Finding) -> String {
    let offset = finding.offset.map(|o| format!(" at offset {o}"));
    let range = finding
        .entries
        .filter(|(from, to)| from < to)
        .map(|(from, to)| format!(", entries {from} to {to}"));
    format!(
        "{:<11} {}{}{}: {}",
        finding.verdict.as_str(),
        finding.path,
        offset.unwrap_or_default(),
        range.unwrap_or_default(),
        finding.text
    )
}
