//! Numbers, sizes and times, as people write and read them.

use std::time::{Duration, SystemTime};

const UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// Reads `64MiB`, `100 kB`, `4096`.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..split].parse().ok()?;
    let unit = text[split..].trim();
    if unit.is_empty() {
        return Some(number);
    }
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

/// `1.5 MiB`.
pub fn size(bytes: u64) -> String {
    for (name, factor) in UNITS[..3].iter().rev() {
        if bytes >= *factor {
            return format!("{:.1} {name}", bytes as f64 / *factor as f64);
        }
    }
    format!("{bytes} B")
}

/// `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `1 entry`, `1,234 entries`.
pub fn entries(n: u64) -> String {
    let noun = if n == 1 { "entry" } else { "entries" };
    format!("{} {noun}", count(n))
}

/// A short time, with three digits or so: `131 µs`, `2.50 ms`, `1.20 s`.
pub fn short(time: Duration) -> String {
    let us = time.as_secs_f64() * 1e6;
    match us {
        _ if us < 10.0 => format!("{us:.1} µs"),
        _ if us < 1_000.0 => format!("{us:.0} µs"),
        _ if us < 1_000_000.0 => format!("{:.2} ms", us / 1e3),
        _ => format!("{:.2} s", us / 1e6),
    }
}

/// How many in a second.
pub fn rate(n: u64, time: Duration) -> u64 {
    (n as f64 / time.as_secs_f64().max(1e-9)) as u64
}

/// Milliseconds since 1970 as `2026-01-31T12:00:00.123Z`.
pub fn clock(ms: u64) -> String {
    match SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms)) {
        // The formatter knows no year above 9999.
        Some(time) if ms < 253_402_300_800_000 => {
            humantime::format_rfc3339_millis(time).to_string()
        }
        _ => format!("{ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("64MiB"), Some(64 << 20));
        assert_eq!(parse_size(" 10 kB "), Some(10_000));
        assert_eq!(parse_size("4096"), Some(4096));
        for wrong in ["", "MiB", "1 mib", "-1", "1.5MiB", "99999999999GiB"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(12), "12 B");
    }

    #[test]
    fn counts_and_clocks() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(entries(1), "1 entry");
        assert_eq!(clock(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(clock(u64::MAX), "18446744073709551615 ms");
    }
}
