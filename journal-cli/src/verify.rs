//! `journal verify`: lists what is wrong, and gives a verdict.

use crate::args::Verify;
use crate::failure::{
    BACKUP, CORRUPT, DUPLICATE, FOREIGN, Failure, GAP, IN_PROGRESS, Result, STALE, TORN, WRONG_NAME,
};
use crate::open;
use crate::output::Out;
use crate::progress;
use crate::units::{count, entries, size};
use flushproof::{Config, Finding, FindingKind, Verdict, Verification};
use serde_json::{Value, json};

/// Verifies, prints what was found, and ends with the exit code of the worst.
pub async fn run(config: &Config, args: &Verify, out: &mut Out) -> Result<()> {
    let reader = open::reader(config).await?;
    let report = if args.fast {
        reader.verify_fast().await?
    } else {
        let bar = progress::bytes(0, "verifying");
        let report = reader
            .verify(|read, total| {
                bar.set_length(total);
                bar.set_position(read);
            })
            .await;
        bar.finish_and_clear();
        report?
    };
    if out.json {
        out.line(object(&report, args.fast))?;
    } else {
        print(&report, args.fast, out)?;
    }
    out.flush()?;
    match code(&report, args.strict) {
        None => Ok(()),
        Some(code) => Err(Failure::Said(code)),
    }
}

/// The kinds that corruption is of, the worst first.
const KINDS: [(FindingKind, u8); 7] = [
    (FindingKind::Damaged, CORRUPT),
    (FindingKind::Gap, GAP),
    (FindingKind::Duplicate, DUPLICATE),
    (FindingKind::Foreign, FOREIGN),
    (FindingKind::Stale, STALE),
    (FindingKind::WrongName, WRONG_NAME),
    (FindingKind::Backup, BACKUP),
];

/// The exit code; none for a clean journal. `strict`: not clean either with things in it
/// that are another journal's, stale, or wrongly named.
fn code(report: &Verification, strict: bool) -> Option<u8> {
    let worst = |verdict: Verdict, kinds: &[(FindingKind, u8)]| {
        let found = |kind| {
            let mut findings = report.findings.iter();
            findings.any(|f| f.verdict == verdict && f.kind == kind)
        };
        kinds.iter().find(|(k, _)| found(*k)).map(|(_, code)| *code)
    };
    let strange = |(kind, _): &(FindingKind, u8)| {
        use FindingKind::{Foreign, Stale, WrongName};
        matches!(kind, Foreign | Stale | WrongName)
    };
    match report.verdict() {
        Verdict::Corrupt => Some(worst(Verdict::Corrupt, &KINDS).unwrap_or(CORRUPT)),
        Verdict::Torn => Some(TORN),
        Verdict::InProgress => Some(IN_PROGRESS),
        Verdict::Clean if strict => {
            let kinds: Vec<_> = KINDS.into_iter().filter(strange).collect();
            worst(Verdict::Clean, &kinds)
        }
        Verdict::Clean => None,
    }
}

fn object(report: &Verification, fast: bool) -> Value {
    let findings = report.findings.iter().map(|f| {
        json!({
            "verdict": f.verdict.as_str(),
            "kind": f.kind.as_str(),
            "path": f.path,
            "offset": f.offset,
            "entries": f.entries.map(|(from, to)| [from.0, to.0]),
            "text": f.text,
        })
    });
    let mut object = json!({
        "verdict": report.verdict().as_str(),
        "fast": fast,
        "segments": report.segments,
        "checkpoints": report.checkpoints,
        "entries": report.entries,
        "bytes": report.bytes,
        "durable": report.durable.0,
        "end": report.end.0,
        "findings": findings.collect::<Vec<_>>(),
    });
    for (name, n) in [("backups", report.backups), ("archived", report.archived)] {
        if n > 0 {
            object[name] = json!(n);
        }
    }
    object
}

fn print(report: &Verification, fast: bool, out: &mut Out) -> Result<()> {
    for finding in &report.findings {
        out.line(line(finding))?;
    }
    let segments = count(report.segments);
    let checkpoints = count(report.checkpoints);
    let mut parts = match fast {
        true => format!("names and marks of {segments} segments, {checkpoints} checkpoints"),
        false => format!(
            "read {segments} segments ({}), {checkpoints} checkpoints, {}",
            size(report.bytes),
            entries(report.entries),
        ),
    };
    for (name, n) in [
        ("backups", report.backups),
        ("archived segments", report.archived),
    ] {
        if n > 0 {
            parts += &format!(", {} {name}", count(n));
        }
    }
    let (durable, end) = (report.durable, report.end);
    out.line(format_args!("{parts}; durable below {durable}, end {end}"))?;
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
        "{:<11} {:<11} {}{}{}: {}",
        finding.verdict.as_str(),
        finding.kind.as_str(),
        finding.path,
        offset.unwrap_or_default(),
        range.unwrap_or_default(),
        finding.text
    )
}
