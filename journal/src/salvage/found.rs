//! What the small objects of a damaged journal still say: its identity, its epochs, their
//! secrets.

use super::notes::Notes;
use crate::format::checkpoint::{CHECKPOINT_HEAD, CheckpointHead};
use crate::format::names::{self, CHECKPOINT_FOLDER, CheckpointId, EPOCH_FOLDER, START_FOLDER};
use crate::format::object::{EpochObject, FormatObject, NO_JOURNAL, StartObject};
use crate::format::{JournalId, Nonce};
use crate::objects::{Bounded, objects};
use bytes::Bytes;
use flushproof_api::{Epoch, Error, ErrorKind, Result, Source, StorePath, StoreUri};
use std::collections::BTreeMap;

/// One object, read.
enum Object<T> {
    /// Whole: whose it is, and what it says.
    Whole(JournalId, T),
    /// Not there, or empty: deleted, and its name has come back after a power cut.
    Gone,
    Damaged,
}

impl<T> Object<T> {
    fn of(self, id: JournalId) -> Object<T> {
        match self {
            Object::Whole(owner, _) if owner != id => Object::Gone,
            other => other,
        }
    }
}

/// What the objects say of one epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EpochObjects {
    pub start: Option<StartObject>,
    /// A start was published, but it is damaged.
    pub damaged_start: bool,
    /// The secret, as the start says, else the claim.
    pub nonce: Option<Nonce>,
    /// It was claimed to be filled: without a start nothing of it ever counted.
    pub filling: bool,
}

/// The name of a checkpoint, and whether its head is whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckpointName {
    pub id: CheckpointId,
    pub head: bool,
}

pub(super) struct Objects {
    pub id: JournalId,
    pub epochs: BTreeMap<Epoch, EpochObjects>,
    /// The newest first.
    pub checkpoints: Vec<CheckpointName>,
}

/// Reads all small objects and the heads of the checkpoints.
///
/// # Errors
/// `NotFormatted`; `NewerFormat`; `Corrupt` when nothing says which journal this is.
pub(super) async fn read_objects(
    io: &Bounded,
    folder: &StoreUri,
    notes: &mut Notes,
) -> Result<Objects> {
    let starts = read_starts(io, notes).await?;
    let claims = read_claims(io, notes).await?;
    let heads = read_heads(io, notes).await?;
    let path = names::format_path()?;
    let format = read(io, &path, notes, FormatObject::decode).await?;
    let id = match format {
        Object::Whole(id, _) => id,
        Object::Gone | Object::Damaged => {
            let gone = matches!(format, Object::Gone);
            // Claims outlive a journal that was erased: they have a say only alone.
            let mut voters: Vec<_> = owners(&starts).chain(owners(&heads)).collect();
            if voters.is_empty() {
                voters.extend(owners(&claims));
            }
            elect(voters, gone, folder, notes)?
        }
    };
    let mut epochs = BTreeMap::<Epoch, EpochObjects>::new();
    for (epoch, claim) in claims {
        if let Object::Whole(_, (nonce, filling)) = claim.of(id) {
            let entry = epochs.entry(epoch).or_default();
            entry.nonce = Some(nonce);
            entry.filling = filling;
        }
    }
    for (epoch, start) in starts {
        if matches!(start, Object::Whole(NO_JOURNAL, _)) {
            // Its claim may be trimmed, and what it wrote late be there.
            epochs.entry(epoch).or_default().filling = true;
            continue;
        }
        match start.of(id) {
            Object::Whole(_, start) => {
                let entry = epochs.entry(epoch).or_default();
                entry.start = Some(start);
                entry.nonce = Some(start.nonce);
            }
            Object::Damaged => epochs.entry(epoch).or_default().damaged_start = true,
            Object::Gone => {}
        }
    }
    let checkpoint = |(id_in_name, head): (CheckpointId, Object<()>)| match head.of(id) {
        Object::Gone => None,
        head => Some(CheckpointName {
            id: id_in_name,
            head: matches!(head, Object::Whole(..)),
        }),
    };
    Ok(Objects {
        id,
        epochs,
        checkpoints: heads.into_iter().rev().filter_map(checkpoint).collect(),
    })
}

fn owners<K, T>(rows: &[(K, Object<T>)]) -> impl Iterator<Item = JournalId> {
    rows.iter().filter_map(|(_, object)| match object {
        // A void belongs to nobody, and is kept for ever.
        Object::Whole(NO_JOURNAL, _) => None,
        Object::Whole(owner, _) => Some(*owner),
        _ => None,
    })
}

/// The identity on which most objects agree.
fn elect(
    owners: Vec<JournalId>,
    gone: bool,
    folder: &StoreUri,
    notes: &mut Notes,
) -> Result<JournalId> {
    let mut votes = BTreeMap::<JournalId, u64>::new();
    for owner in owners {
        *votes.entry(owner).or_default() += 1;
    }
    let all: u64 = votes.values().sum();
    let Some((id, most)) = votes.into_iter().max_by_key(|(_, n)| *n) else {
        let text = "holds no FORMAT, and no start, epoch or checkpoint that is whole: nothing says \
                    which journal this is";
        return Err(Error::new(
            ErrorKind::NotFormatted,
            format!("{folder} {text}"),
        ));
    };
    let what = if gone { "missing" } else { "damaged" };
    notes.add(format!(
        "FORMAT is {what}: {most} of {all} objects belong to the journal {id}, which is taken for \
         this one"
    ));
    Ok(id)
}

async fn read_starts(io: &Bounded, notes: &mut Notes) -> Result<Vec<(Epoch, Object<StartObject>)>> {
    let rows = io.list(&names::folder(START_FOLDER)?).await?;
    let epochs = objects(rows, names::parse_start);
    let highest = epochs.last().copied();
    let mut out = Vec::new();
    for epoch in epochs {
        let decode = |bytes: &Bytes| {
            let (id, start) = StartObject::decode(bytes)?;
            same_epoch(epoch, start.epoch)?;
            Ok((id, start))
        };
        let path = names::start_path(epoch)?;
        let start = match read(io, &path, notes, decode).await? {
            // The head is never deleted.
            Object::Gone if highest == Some(epoch) => {
                notes.add(format!("{path} is empty"));
                Object::Damaged
            }
            start => start,
        };
        out.push((epoch, start));
    }
    Ok(out)
}

/// Secrets, and whether each was claimed to be filled.
async fn read_claims(
    io: &Bounded,
    notes: &mut Notes,
) -> Result<Vec<(Epoch, Object<(Nonce, bool)>)>> {
    let rows = io.list(&names::folder(EPOCH_FOLDER)?).await?;
    let mut out = Vec::new();
    for epoch in objects(rows, names::parse_epoch) {
        let decode = |bytes: &Bytes| {
            let (id, claim) = EpochObject::decode(bytes)?;
            same_epoch(epoch, claim.epoch)?;
            Ok((id, (claim.nonce, claim.fill.is_some())))
        };
        let path = names::epoch_path(epoch)?;
        out.push((epoch, read(io, &path, notes, decode).await?));
    }
    Ok(out)
}

fn same_epoch(name: Epoch, found: Epoch) -> Result<()> {
    if name == found {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Corrupt,
        format!("it is the object of epoch {found}"),
    ))
}

async fn read_heads(io: &Bounded, notes: &mut Notes) -> Result<Vec<(CheckpointId, Object<()>)>> {
    let rows = io.list(&names::folder(CHECKPOINT_FOLDER)?).await?;
    let mut out = Vec::new();
    for id in objects(rows, names::parse_checkpoint) {
        let path = names::checkpoint_path(id)?;
        let Some(reader) = io.open(&path, Source::Medium).await? else {
            continue;
        };
        let len = reader.len().await?.min(CHECKPOINT_HEAD as u64);
        let bytes = reader.read(0..len).await?;
        let decoded = CheckpointHead::decode(&bytes).and_then(|(owner, head)| {
            if head.id == id {
                return Ok((owner, ()));
            }
            let found = head.id;
            Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "it is the checkpoint {}-{}",
                    found.next_seq.0, found.epoch.0
                ),
            ))
        });
        out.push((id, judge(&path, bytes.is_empty(), decoded, notes)?));
    }
    Ok(out)
}

async fn read<T>(
    io: &Bounded,
    path: &StorePath,
    notes: &mut Notes,
    decode: impl FnOnce(&Bytes) -> Result<(JournalId, T)>,
) -> Result<Object<T>> {
    match io.get(path).await {
        Ok(None) => Ok(Object::Gone),
        Ok(Some(bytes)) => judge(path, bytes.is_empty(), decode(&bytes), notes),
        Err(e) => judge(path, false, Err(e), notes),
    }
}

/// Damage is not an error here; all else is.
fn judge<T>(
    path: &StorePath,
    empty: bool,
    decoded: Result<(JournalId, T)>,
    notes: &mut Notes,
) -> Result<Object<T>> {
    match decoded {
        Ok((id, value)) => Ok(Object::Whole(id, value)),
        Err(_) if empty => Ok(Object::Gone),
        Err(e) if e.kind() == ErrorKind::Corrupt => {
            notes.add(format!("{path}: {e}"));
            Ok(Object::Damaged)
        }
        Err(e) => Err(e.context(path)),
    }
}
