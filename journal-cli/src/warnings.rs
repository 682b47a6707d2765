//! Warnings of the engine and the backends, on stderr. Their errors are not
//! shown here: each comes back to the command, which says it once.

use std::fmt::{Debug, Write as _};
use std::io::Write as _;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Shows warnings from now on.
pub fn show(json: bool) {
    // A second call could only come from a test; the first one counts.
    let _ = tracing::subscriber::set_global_default(Warnings { json });
}

struct Warnings {
    json: bool,
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.is_event()
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let text = text.0;
        let line = match self.json {
            true => serde_json::json!({ "warning": { "text": text } }).to_string(),
            false => format!("warning: {text}"),
        };
        // Where stderr is closed there is nobody to warn.
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The message, then the fields.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            let rest = std::mem::take(&mut self.0);
            self.0 = format!("{value:?}{rest}");
        } else {
            // Writing to a string does not fail.
            let _ = write!(self.0, ": {} {value:?}", field.name());
        }
    }
}
