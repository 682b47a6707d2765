//! [`Verification`]: what was found, how bad it is, and of which kind.

use crate::SeqNo;
use flushproof_api::{ErrorKind, Result};

/// What a journal's state is, the worst that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Everything holds; the end is clean.
    Clean,
    /// Everything holds; a primary is writing.
    InProgress,
    /// A flush was under way when the writer stopped: the next primary cuts it.
    Torn,
    /// Bytes that were durable are damaged or missing.
    Corrupt,
}

impl Verdict {
    /// The name in reports and `--json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Clean => "clean",
            Verdict::InProgress => "in-progress",
            Verdict::Torn => "torn",
            Verdict::Corrupt => "corrupt",
        }
    }
}

/// What a finding is. How bad it is says its [`Verdict`]: a stray name is harmless,
/// a segment under a wrong name is corruption where the journal needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// Bytes that were durable do not match their checksums.
    Damaged,
    /// Entries, a segment or a start are missing.
    Gap,
    /// The same entry numbers stand twice, and neither place supersedes the other.
    Duplicate,
    /// Frames or an object of another journal, at a name of this one.
    Foreign,
    /// Frames of another epoch, of an earlier use of the file, or of another offset.
    Stale,
    /// A name that is no journal's, or something whole under a name that is not its own.
    WrongName,
    /// A backup or an archived segment is bad.
    Backup,
    /// The end of a flush that was cut short.
    Torn,
    /// A primary is writing there.
    InProgress,
    /// Nothing depends on it: replaced, or it never counted.
    Superseded,
    /// Room made ahead that is not used yet.
    Prepared,
}

impl FindingKind {
    /// The name in reports and `--json`.
    pub fn as_str(self) -> &'static str {
        match self {
            FindingKind::Damaged => "damaged",
            FindingKind::Gap => "gap",
            FindingKind::Duplicate => "duplicate",
            FindingKind::Foreign => "foreign",
            FindingKind::Stale => "stale",
            FindingKind::WrongName => "wrong-name",
            FindingKind::Backup => "backup",
            FindingKind::Torn => "torn",
            FindingKind::InProgress => "in-progress",
            FindingKind::Superseded => "superseded",
            FindingKind::Prepared => "prepared",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// How bad it is. `Clean`: worth knowing, but harmless.
    pub verdict: Verdict,
    /// The path, as far as one is concerned.
    pub path: String,
    /// The offset in it.
    pub offset: Option<u64>,
    /// The entries concerned, half-open, as far as they are known.
    pub entries: Option<(SeqNo, SeqNo)>,
    /// What it is, in words.
    pub text: String,
}

impl Finding {
    pub(crate) fn new(
        kind: FindingKind,
        verdict: Verdict,
        path: impl ToString,
        text: impl ToString,
    ) -> Finding {
        Finding {
            kind,
            verdict,
            path: path.to_string(),
            offset: None,
            entries: None,
            text: text.to_string(),
        }
    }

    /// The same finding with its place in the path.
    #[must_use]
    pub(crate) fn at(mut self, offset: u64) -> Finding {
        self.offset = Some(offset);
        self
    }

    /// The same finding with the entries that it concerns.
    #[must_use]
    pub(crate) fn of(mut self, from: SeqNo, to: SeqNo) -> Finding {
        self.entries = Some((from, to));
        self
    }
}

/// What [`JournalReader::verify`](crate::JournalReader::verify) found.
#[derive(Clone, Debug, Default)]
pub struct Verification {
    /// Everything that was found, by path and offset.
    pub findings: Vec<Finding>,
    /// Segments of the chain that were looked at.
    pub segments: u64,
    /// Checkpoints that were looked at.
    pub checkpoints: u64,
    /// Entries read and found good.
    pub entries: u64,
    /// Bytes of segments read.
    pub bytes: u64,
    /// Backups that were looked at.
    pub backups: u64,
    /// Archived segments that were looked at.
    pub archived: u64,
    /// Every entry below it is certainly durable.
    pub durable: SeqNo,
    /// The number after the last whole entry.
    pub end: SeqNo,
}

impl Verification {
    /// The worst finding.
    pub fn verdict(&self) -> Verdict {
        let worst = self.findings.iter().map(|f| f.verdict).max();
        worst.unwrap_or(Verdict::Clean)
    }

    pub(crate) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Something that does no harm.
    pub(super) fn harmless(&mut self, kind: FindingKind, path: impl ToString, text: impl ToString) {
        self.add(Finding::new(kind, Verdict::Clean, path, text));
    }

    /// Something that does.
    pub(super) fn corrupt(&mut self, kind: FindingKind, path: impl ToString, text: impl ToString) {
        self.add(Finding::new(kind, Verdict::Corrupt, path, text));
    }

    /// Sorts what was found, and takes the places out of texts that say them again.
    pub(super) fn finish(&mut self) {
        for finding in &mut self.findings {
            let at = finding.offset.unwrap_or(0);
            let place = format!("{}, offset {at}: ", finding.path);
            if let Some(text) = finding.text.strip_prefix(&place) {
                finding.text = text.to_owned();
            }
        }
        self.findings
            .sort_by(|a, b| (&a.path, a.offset).cmp(&(&b.path, b.offset)));
    }
}

/// What the engine tells those who meet damage: here they are.
const ADVICE: &str = ". Nothing was changed. Run: journal verify, which lists all damage";

/// The value, or the corruption, which is no error here; other errors are passed on.
pub(super) fn unless_corrupt<T>(result: Result<T>) -> Result<std::result::Result<T, String>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(e) if e.kind() == ErrorKind::Corrupt => {
            let text = e.to_string();
            Ok(Err(text.strip_suffix(ADVICE).unwrap_or(&text).to_owned()))
        }
        Err(e) => Err(e),
    }
}
