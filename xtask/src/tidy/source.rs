//! A Rust file as the rules see it. The code is formatted, so indentation says
//! where an item ends; no parser is needed.

/// One file.
pub struct Source {
    /// Its path below the root.
    pub path: String,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// One line.
pub struct Line {
    /// Its code, without comments and without what stands between quotes.
    pub code: String,
    /// It belongs to tests.
    pub test: bool,
}

/// A function.
pub struct Function<'a> {
    /// Its name.
    pub name: &'a str,
    /// The index of its first line.
    pub first: usize,
    /// How many lines it has, from `fn` to its last brace.
    pub len: usize,
}

impl Source {
    /// Reads a file.
    pub fn new(path: &str, text: &str) -> Source {
        let code = code_of(text);
        let mut tests = vec![is_test_file(path); code.len()];
        for (at, line) in code.iter().enumerate() {
            if line.trim() == "#[cfg(test)]" {
                let end = end_of_item(&code, at + 1);
                tests[at..end].fill(true);
            }
        }
        Source {
            path: path.into(),
            lines: code
                .into_iter()
                .zip(tests)
                .map(|(code, test)| Line { code, test })
                .collect(),
        }
    }

    /// Every function.
    pub fn functions(&self) -> impl Iterator<Item = Function<'_>> {
        let lines: Vec<&str> = self.lines.iter().map(|l| l.code.as_str()).collect();
        let all = self.lines.iter().enumerate();
        all.filter_map(move |(first, line)| {
            Some(Function {
                name: function_name(&line.code)?,
                first,
                len: end_of_item(&lines, first) - first,
            })
        })
    }

    /// A place in this file, for a person to click on.
    pub fn at(&self, line: usize) -> String {
        format!("{}:{}", self.path, line + 1)
    }
}

fn is_test_file(path: &str) -> bool {
    if path.starts_with("store-tests/") {
        return true; // a library, but of tests
    }
    let mut parts = path.split('/');
    parts.any(|p| matches!(p, "tests" | "benches" | "tests.rs"))
}

/// The index after the item that begins on the line `first`.
fn end_of_item<T: AsRef<str>>(lines: &[T], first: usize) -> usize {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let Some(own) = lines.get(first).map(|l| indent(l.as_ref())) else {
        return lines.len();
    };
    for (at, line) in lines.iter().enumerate().skip(first) {
        let line = line.as_ref();
        let last = line.trim_end();
        let closes = at > first && (last.trim_start() == "}" || last.trim_start() == "};");
        if indent(line) == own && (closes || last.ends_with(';') || last.ends_with('}')) {
            return at + 1;
        }
    }
    lines.len()
}

/// `name` of a line that begins a function.
fn function_name(code: &str) -> Option<&str> {
    let mut words = code.split_whitespace();
    let known = ["pub", "async", "const", "unsafe", "extern"];
    let before = |w: &&str| known.contains(w) || w.starts_with("pub(");
    let word = words.by_ref().find(|w| !before(w))?;
    if word != "fn" {
        return None;
    }
    let name = words.next()?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
    Some(&name[..end.unwrap_or(name.len())])
}

/// The lines of a text without `//` comments and without what stands between quotes.
fn code_of(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut within: Option<String> = None; // the end of the string that this is in
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut skip = c.len_utf8();
        if c == '\n' {
            // Within a string, an indentation that no item has.
            lines.push(within.as_ref().map_or("", |_| " ").to_owned());
        } else if let Some(end) = &within {
            if c == '\\' && end == "\"" {
                // Over what is escaped, but not over the end of the line.
                skip += rest[1..]
                    .chars()
                    .next()
                    .filter(|c| *c != '\n')
                    .map_or(0, char::len_utf8);
            } else if rest.starts_with(end.as_str()) {
                skip = end.len();
                within = None;
            }
        } else if rest.starts_with("//") {
            skip = rest.find('\n').unwrap_or(rest.len());
        } else if let Some(quote) = ["'\"'", "'\\\"'"].iter().find(|q| rest.starts_with(**q)) {
            skip = quote.len();
        } else if let Some(end) = raw_string(rest) {
            skip = end.len() + 1;
            within = Some(end);
        } else if c == '"' {
            within = Some("\"".into());
        } else if let Some(line) = lines.last_mut() {
            line.push(c);
        }
        rest = &rest[skip..];
    }
    if lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// What ends the raw string that begins here.
fn raw_string(text: &str) -> Option<String> {
    let hashes = text.strip_prefix('r')?;
    let count = hashes.len() - hashes.trim_start_matches('#').len();
    let begins = count > 0 && hashes[count..].starts_with('"');
    begins.then(|| format!("\"{}", "#".repeat(count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
use a;
pub(crate) async fn first(x: u8) -> bool {
    x.unwrap() // "no"
}
fn declared();
#[cfg(test)]
use b;
fn second() {
    print("a // b \" fn third() {", '"');
}
#[cfg(test)]
mod tests {
    fn in_tests() {
    }
}
fn last() {}
const TEXT: &str = "
rubbish";
"#;

    #[test]
    fn functions_and_their_length() {
        let source = Source::new("a/src/lib.rs", FILE);
        let all: Vec<_> = source.functions().map(|f| (f.name, f.len)).collect();
        assert_eq!(
            all,
            [
                ("first", 3),
                ("declared", 1),
                ("second", 3),
                ("in_tests", 2),
                ("last", 1)
            ]
        );
    }

    #[test]
    fn what_is_code_and_what_is_test() {
        let source = Source::new("a/src/lib.rs", FILE);
        assert_eq!(source.lines[3].code, "    x.unwrap() ");
        assert_eq!(source.lines[9].code, "    print(, );");
        let tests: Vec<_> = (0..source.lines.len())
            .filter(|i| source.lines[*i].test)
            .collect();
        assert_eq!(tests, [6, 7, 11, 12, 13, 14, 15]);
        assert!(Source::new("a/tests/x.rs", FILE).lines[1].test);
    }
}
