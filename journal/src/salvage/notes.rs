//! What salvage says in words, however much there is to say.

/// More are only counted.
const MAX_NOTES: usize = 1000;

#[derive(Debug, Default)]
pub(super) struct Notes {
    lines: Vec<String>,
    more: u64,
}

impl Notes {
    pub(super) fn add(&mut self, text: String) {
        match self.lines.len() < MAX_NOTES {
            true => self.lines.push(text),
            false => self.more += 1,
        }
    }

    pub(super) fn and_more(&mut self, places: u64) {
        self.more = self.more.saturating_add(places);
    }

    pub(super) fn into_lines(mut self) -> Vec<String> {
        if self.more > 0 {
            let text = format!("and {} more places, which are not listed", self.more);
            self.lines.push(text);
        }
        self.lines
    }
}
