//! Breadth-first search over all states that can be reached.

use crate::bounds::Model;
use crate::encode::{decode, encode};
use crate::state::State;
use crate::step::{Broken, Step, Steps, steps};
use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

/// A set of fingerprints of 63 bits. Two of n states share one with a chance of about n²/2⁶⁴: for
/// 80 million states one in 3,000 that a single state is taken for another and not looked at.
struct Seen {
    slots: Vec<u64>,
    used: usize,
}

impl Seen {
    fn new() -> Seen {
        Seen {
            slots: vec![0; 1 << 12],
            used: 0,
        }
    }

    /// Whether it was not in the set.
    fn insert(&mut self, print: u64) -> bool {
        if self.used * 4 >= self.slots.len() * 3 {
            let old = std::mem::take(&mut self.slots);
            self.slots = vec![0; old.len() * 2];
            for print in old.into_iter().filter(|p| *p != 0) {
                self.place(print);
            }
        }
        let new = self.place(print);
        self.used += usize::from(new);
        new
    }

    fn place(&mut self, print: u64) -> bool {
        let mask = self.slots.len() - 1;
        let mut i = print as usize & mask;
        loop {
            match self.slots[i] {
                0 => {
                    self.slots[i] = print;
                    return true;
                }
                p if p == print => return false,
                _ => i = (i + 1) & mask,
            }
        }
    }
}

/// The fingerprint of a packed state; never 0.
fn fingerprint(bytes: &[u8]) -> u64 {
    const A: u64 = 0xa076_1d64_78bd_642f;
    const B: u64 = 0xe703_7ed1_a0b4_28db;
    let fold = |x: u64, y: u64| {
        let wide = u128::from(x) * u128::from(y);
        wide as u64 ^ (wide >> 64) as u64
    };
    let mut hash = fold(bytes.len() as u64 ^ A, B);
    for chunk in bytes.chunks(8) {
        let mut word = [0u8; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = fold(u64::from_le_bytes(word) ^ A, hash ^ B).wrapping_add(hash.rotate_left(23));
    }
    fold(hash ^ A, B) | 1 << 63
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every state was looked at, and none breaks a property.
    Clean,
    /// A property is broken; the shortest trace is this many steps long.
    Broken(Broken),
    /// A state was reached that the search was to look for.
    Reached,
    /// The limit of states was reached first.
    Unfinished,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Clean => "clean",
            Verdict::Broken(_) => "broken",
            Verdict::Reached => "reached",
            Verdict::Unfinished => "unfinished",
        })
    }
}

/// What a search found.
pub struct Found {
    /// How it ended.
    pub verdict: Verdict,
    /// States explored.
    pub states: u64,
    /// Steps of the longest shortest way to a state, or to the broken property.
    pub depth: u32,
    /// How long it took.
    pub time: Duration,
    /// The steps to the broken property, if the search was to keep them.
    pub trace: Vec<Step>,
}

/// How to search.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Stop after so many states.
    pub limit: u64,
    /// Keep the way to each state: needs several times the memory.
    pub trace: bool,
    /// Stop at such a state: shows that the bounds allow it.
    pub goal: Option<fn(&State) -> bool>,
}

impl Default for Search {
    fn default() -> Search {
        Search {
            limit: u64::MAX,
            trace: false,
            goal: None,
        }
    }
}

/// Packed states, each behind its length.
#[derive(Default)]
struct Queue(Vec<u8>);

impl Queue {
    fn push(&mut self, packed: &[u8]) {
        self.0.push(packed.len() as u8);
        self.0.extend_from_slice(packed);
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (&len, tail) = rest.split_first()?;
            let (packed, tail) = tail.split_at(len as usize);
            rest = tail;
            Some(packed)
        })
    }
}

/// Looks at every state of the model that can be reached.
pub fn explore(model: &Model, search: Search) -> Found {
    let began = Instant::now();
    let mut seen = Seen::new();
    let mut parents: HashMap<u64, u64> = HashMap::new();
    let mut packed = Vec::new();
    encode(&State::default(), &mut packed);
    seen.insert(fingerprint(&packed));
    let mut level = Queue::default();
    level.push(&packed);
    let mut depth = 0;
    let mut out = Steps::default();
    let found = |verdict, states, depth, trace| {
        let states = states as u64;
        Found {
            verdict,
            states,
            depth,
            time: began.elapsed(),
            trace,
        }
    };
    while !level.0.is_empty() {
        let mut next_level = Queue::default();
        for bytes in level.iter() {
            let state = decode(bytes);
            if search.goal.is_some_and(|goal| goal(&state)) {
                let trace = rebuild(model, &parents, fingerprint(bytes));
                return found(Verdict::Reached, seen.used, depth, trace);
            }
            out.next.clear();
            steps(model, &state, &mut out);
            if let Some((step, broken)) = out.broken {
                let mut trace = rebuild(model, &parents, fingerprint(bytes));
                trace.push(step);
                return found(Verdict::Broken(broken), seen.used, depth + 1, trace);
            }
            for (_, next) in &out.next {
                packed.clear();
                encode(next, &mut packed);
                let print = fingerprint(&packed);
                if seen.insert(print) {
                    next_level.push(&packed);
                    if search.trace {
                        parents.insert(print, fingerprint(bytes));
                    }
                }
            }
            if seen.used as u64 > search.limit {
                return found(Verdict::Unfinished, seen.used, depth, Vec::new());
            }
        }
        level = next_level;
        depth += 1;
    }
    found(Verdict::Clean, seen.used, depth - 1, Vec::new())
}

/// The steps from the first state to the one with this fingerprint.
fn rebuild(model: &Model, parents: &HashMap<u64, u64>, last: u64) -> Vec<Step> {
    let mut prints = vec![last];
    let mut print = last;
    while let Some(&parent) = parents.get(&print) {
        prints.push(parent);
        print = parent;
    }
    prints.pop();
    let mut state = State::default();
    let mut trace = Vec::new();
    let mut packed = Vec::new();
    while let Some(print) = prints.pop() {
        let mut out = Steps::default();
        steps(model, &state, &mut out);
        let way = out.next.into_iter().find(|(_, next)| {
            packed.clear();
            encode(next, &mut packed);
            fingerprint(&packed) == print
        });
        let Some((step, next)) = way else { break };
        trace.push(step);
        state = next;
    }
    trace
}
