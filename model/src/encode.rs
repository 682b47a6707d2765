//! Packs a state into few bytes: only what exists takes room. Equal states have equal bytes.

use crate::state::{
    Bytes, Checkpoint, Checkpoints, Fill, Frame, History, Kind, Life, Log, LogId, MAX_LOGS,
    MAX_PROCS, MAX_SEQ, Phase, Prepared, Proc, Published, Standby, Start, State,
};

/// A word that fields are pushed into, lowest bits first.
#[derive(Default)]
struct Word {
    bits: u64,
    used: u32,
}

impl Word {
    fn put(&mut self, value: impl Into<u64>, width: u32) -> &mut Self {
        let value = value.into();
        debug_assert!(value < 1 << width, "{value} does not fit {width} bits");
        self.bits |= value << self.used;
        self.used += width;
        self
    }

    fn get(&mut self, width: u32) -> u64 {
        let value = self.bits & ((1 << width) - 1);
        self.bits >>= width;
        value
    }

    fn small(&mut self, width: u32) -> u8 {
        self.get(width) as u8
    }
}

fn put_history(w: &mut Word, h: &History) {
    for v in h.0 {
        w.put(v, 3);
    }
}

fn get_history(w: &mut Word) -> History {
    let mut h = History::default();
    for s in 0..MAX_SEQ {
        h.0[s] = w.small(3);
    }
    h
}

fn put_log_id(w: &mut Word, id: LogId) {
    w.put(id.epoch, 3).put(id.index, 2);
}

fn get_log_id(w: &mut Word) -> LogId {
    LogId {
        epoch: w.small(3),
        index: w.small(2),
    }
}

fn pack_frame(f: &Frame) -> u16 {
    let mut w = Word::default();
    w.put(f.kind as u8, 2)
        .put(f.seq, 3)
        .put(f.value, 3)
        .put(f.durable, 3);
    w.put(f.durable_offset, 3).put(f.bytes as u8, 2);
    w.bits as u16
}

fn unpack_frame(bits: u16) -> Frame {
    let mut w = Word {
        bits: u64::from(bits),
        used: 0,
    };
    let kind = match w.get(2) {
        0 => Kind::Header,
        1 => Kind::Entry,
        _ => Kind::Mark,
    };
    let (seq, value, durable, durable_offset) = (w.small(3), w.small(3), w.small(3), w.small(3));
    let bytes = match w.get(2) {
        0 => Bytes::Unflushed,
        1 => Bytes::Durable,
        2 => Bytes::Kept,
        _ => Bytes::Lost,
    };
    Frame {
        kind,
        seq,
        value,
        durable,
        durable_offset,
        bytes,
    }
}

fn pack_proc(p: &Proc) -> u64 {
    let mut w = Word::default();
    w.put(p.phase as u8, 4)
        .put(p.head, 3)
        .put(p.own, 4)
        .put(p.listed, 16)
        .put(p.checkpoint, 3);
    w.put(p.end, 3)
        .put(p.acked, 3)
        .put(p.cur, 2)
        .put(p.ack_log, 2)
        .put(p.ack_off, 3);
    w.put(p.prepared as u8, 2);
    put_history(&mut w, &p.history);
    w.bits
}

fn unpack_proc(bits: u64) -> Proc {
    let w = &mut Word { bits, used: 0 };
    Proc {
        phase: Phase::ALL[w.get(4) as usize],
        head: w.small(3),
        own: w.small(4),
        listed: w.get(16) as u16,
        checkpoint: w.small(3),
        end: w.small(3),
        acked: w.small(3),
        cur: w.small(2),
        ack_log: w.small(2),
        ack_off: w.small(3),
        prepared: match w.get(2) {
            0 => Prepared::No,
            1 => Prepared::Created,
            2 => Prepared::Ready,
            _ => Prepared::ListedEarly,
        },
        history: get_history(w),
    }
}

fn pack_start(start: &Start) -> u16 {
    let mut w = Word::default();
    w.put(start.published as u8, 2);
    put_log_id(&mut w, start.prev);
    w.put(start.prev_end, 3)
        .put(start.d, 3)
        .put(start.carried_end, 3);
    w.bits as u16
}

fn unpack_start(bits: u16) -> Start {
    let w = &mut Word {
        bits: u64::from(bits),
        used: 0,
    };
    Start {
        published: match w.get(2) {
            0 => Published::No,
            1 => Published::Pending,
            2 => Published::Yes,
            _ => Published::Deleted,
        },
        prev: get_log_id(w),
        prev_end: w.small(3),
        d: w.small(3),
        carried_end: w.small(3),
    }
}

fn pack_globals(s: &State) -> u64 {
    let mut w = Word::default();
    w.put(s.claimed, 3).put(s.top, 3).put(s.store_crashes, 2);
    w.put(s.standby.cursor, 3).put(s.standby.seen, 3);
    let c = s.checkpoints;
    w.put(c.newest.next, 3).put(c.newest.epoch, 3);
    w.put(c.older.next, 3)
        .put(c.older.epoch, 3)
        .put(c.written, 3);
    put_history(&mut w, &s.kept);
    w.bits
}

fn unpack_globals(bits: u64, s: &mut State) {
    let w = &mut Word { bits, used: 0 };
    s.claimed = w.small(3);
    s.top = w.small(3);
    s.store_crashes = w.small(2);
    s.standby = Standby {
        cursor: w.small(3),
        seen: w.small(3),
    };
    let newest = Checkpoint {
        next: w.small(3),
        epoch: w.small(3),
    };
    let older = Checkpoint {
        next: w.small(3),
        epoch: w.small(3),
    };
    s.checkpoints = Checkpoints {
        newest,
        older,
        written: w.small(3),
    };
    s.kept = get_history(w);
}

fn pack_fills(s: &State) -> u64 {
    let mut w = Word::default();
    for f in s.fills {
        w.put(f.claimed, 1).put(f.void, 1).put(f.dropped, 1);
        w.put(f.checkpoint as u8, 2).put(f.refused, 1);
    }
    w.bits
}

fn unpack_fills(bits: u64, s: &mut State) {
    let w = &mut Word { bits, used: 0 };
    for f in &mut s.fills {
        *f = Fill {
            claimed: w.get(1) == 1,
            void: w.get(1) == 1,
            dropped: w.get(1) == 1,
            checkpoint: match w.get(2) {
                0 => Life::Absent,
                1 => Life::Present,
                _ => Life::Deleted,
            },
            refused: w.get(1) == 1,
        };
    }
}

/// Bytes of the packed globals.
const GLOBALS: usize = 6;
/// Bytes of what is there only if some epoch is to be filled.
const FILLS: usize = 3;

/// Appends the packed state to `out`.
pub fn encode(s: &State, out: &mut Vec<u8>) {
    out.extend_from_slice(&pack_globals(s).to_le_bytes()[..GLOBALS]);
    let mut running = 0u8;
    for (i, p) in s.procs.iter().enumerate() {
        running |= u8::from(p.phase != Phase::Idle) << i;
    }
    out.push(running);
    for p in s.procs.iter().filter(|p| p.phase != Phase::Idle) {
        out.extend_from_slice(&pack_proc(p).to_le_bytes());
    }
    for e in 0..s.claimed as usize {
        out.extend_from_slice(&pack_start(&s.starts[e]).to_le_bytes());
        let mut present = 0u8;
        for (i, log) in s.logs[e].iter().enumerate() {
            present |= u8::from(log.life != Life::Absent) << i;
        }
        out.push(present);
        for log in s.logs[e].iter().filter(|log| log.life != Life::Absent) {
            encode_log(log, out);
        }
    }
    match pack_fills(s) {
        0 => {}
        fills => out.extend_from_slice(&fills.to_le_bytes()[..FILLS]),
    }
}

fn encode_log(log: &Log, out: &mut Vec<u8>) {
    let deleted = u8::from(log.life == Life::Deleted);
    out.push(deleted | u8::from(log.fenced) << 1 | log.limit << 2 | log.len << 5);
    for frame in log.frames() {
        out.extend_from_slice(&pack_frame(frame).to_le_bytes());
    }
}

/// Takes bytes off the front of a packed state.
struct Bite<'a>(&'a [u8]);

impl Bite<'_> {
    fn take(&mut self, n: usize) -> u64 {
        let (head, rest) = self.0.split_at(n);
        self.0 = rest;
        let mut word = [0u8; 8];
        word[..n].copy_from_slice(head);
        u64::from_le_bytes(word)
    }
}

/// The state that [`encode`] packed.
pub fn decode(bytes: &[u8]) -> State {
    let mut s = State::default();
    let mut b = Bite(bytes);
    unpack_globals(b.take(GLOBALS), &mut s);
    let running = b.take(1);
    for i in (0..MAX_PROCS).filter(|i| running >> i & 1 == 1) {
        s.procs[i] = unpack_proc(b.take(8));
    }
    for e in 0..s.claimed as usize {
        s.starts[e] = unpack_start(b.take(2) as u16);
        let present = b.take(1);
        for i in (0..MAX_LOGS).filter(|i| present >> i & 1 == 1) {
            s.logs[e][i] = decode_log(&mut b);
        }
    }
    if !b.0.is_empty() {
        unpack_fills(b.take(FILLS), &mut s);
    }
    s
}

fn decode_log(b: &mut Bite<'_>) -> Log {
    let head = b.take(1) as u8;
    let life = if head & 1 == 1 {
        Life::Deleted
    } else {
        Life::Present
    };
    let mut log = Log {
        life,
        ..Log::default()
    };
    log.fenced = head >> 1 & 1 == 1;
    log.limit = head >> 2 & 7;
    log.len = head >> 5;
    for i in 0..log.len as usize {
        log.frames[i] = unpack_frame(b.take(2) as u16);
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::{Bounds, Model};
    use crate::step::{Steps, steps};

    /// Walks from state to state, each time taking another of the possible steps.
    #[test]
    fn a_packed_state_unpacks_to_itself() {
        let bounds = Bounds {
            epochs: 4,
            entries: 4,
            in_flight: 3,
            logs: 3,
            marks: true,
            standby: true,
            checkpoints: 2,
            trim: true,
            reopen: true,
            lost_answers: true,
            pending_starts: true,
            names_return: true,
            process_crashes: true,
            store_crashes: 2,
            any_order: true,
            fill: true,
        };
        let model = Model {
            bounds,
            without: None,
        };
        for walk in 0..500usize {
            let mut state = State::default();
            let mut random = walk as u64;
            for _ in 0..100 {
                let mut packed = Vec::new();
                encode(&state, &mut packed);
                assert_eq!(decode(&packed), state);
                let mut out = Steps::default();
                steps(&model, &state, &mut out);
                assert_eq!(out.broken, None);
                random = random
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                let Some((_, next)) = out
                    .next
                    .get((random >> 33) as usize % out.next.len().max(1))
                else {
                    break;
                };
                state = *next;
            }
        }
    }
}
