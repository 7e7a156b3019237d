//! The one way out: what is printed, and how text of strangers is printed.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Write};

use anstream::AutoStream;
use serde_json::Value;

use crate::sys;

/// The standard output. It tells a closed pipe from other failures, and has colours on a terminal only.
pub(crate) struct Out {
    stream: BufWriter<AutoStream<io::StdoutLock<'static>>>,
    is_json: bool,
    is_terminal: bool,
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Out").field("is_json", &self.is_json).field("is_terminal", &self.is_terminal).finish()
    }
}

impl Out {
    pub(crate) fn new(is_json: bool) -> Self {
        let stream = BufWriter::with_capacity(1 << 16, anstream::stdout().lock());
        Self { stream, is_json, is_terminal: io::stdout().is_terminal() }
    }

    /// Is JSON asked for?
    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    /// How many rows and columns there are, if it is a terminal.
    pub(crate) fn terminal_size(&self) -> Option<(usize, usize)> {
        self.is_terminal.then(sys::terminal_size).flatten()
    }

    pub(crate) fn line(&mut self, line: impl fmt::Display) -> io::Result<()> {
        writeln!(self.stream, "{line}")
    }

    /// Bytes as they are: a script that is generated, and what moves the cursor.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// An object, in a line of its own, with the number of the format in front.
    pub(crate) fn object(&mut self, object: &Value) -> io::Result<()> {
        let mut with_format = serde_json::Map::new();
        with_format.insert("format".to_owned(), Value::from(1));
        with_format.extend(object.as_object().cloned().unwrap_or_default());
        serde_json::to_writer(&mut self.stream, &with_format)?;
        self.stream.write_all(b"\n")
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }

    /// A sentence on the standard error. If nobody hears it, there is nobody else to tell.
    #[allow(clippy::unused_self, reason = "so that all that is printed is printed by this")]
    pub(crate) fn complain(&mut self, message: impl fmt::Display) {
        let _ = writeln!(anstream::stderr(), "robust-shm: {}", printable(&message.to_string()));
    }
}

/// A name, a tag, or what else strangers have chosen: so that it can be told what it was, and does nothing to a terminal.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' | '\'' => escaped.push(char),
            _ => escaped.extend(char.escape_debug()),
        }
    }
    escaped
}

/// A sentence in which names are quoted and escaped already: only that it does nothing to a terminal.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let is_plain = |char: char| matches!(char, '"' | '\'' | '\\') || char.escape_debug().len() == 1;
    if text.chars().all(is_plain) {
        return text.into();
    }
    let one = |char: char| if is_plain(char) { char.to_string() } else { char.escape_debug().to_string() };
    text.chars().map(one).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_a_cursor_comes_through() {
        for hostile in ["\u{1b}[2Jx", "a\nb", "a\rb", "\u{9b}31m", "\u{202e}gnp", "\u{7}", "\t", "\u{200b}"] {
            for shown in [escape(hostile), printable(hostile).into_owned()] {
                assert!(
                    shown.chars().all(|char| char == ' ' || !char.is_control() && !char.is_whitespace()),
                    "{shown:?}"
                );
                assert!(shown.contains('\\'), "{shown:?} hides what {hostile:?} has");
            }
        }
        assert_eq!(escape("größe ☃ it's \"so\""), "größe ☃ it's \"so\"");
        assert_eq!((escape("a\\n"), printable("a\\n").into_owned()), ("a\\\\n".to_owned(), "a\\n".to_owned()));
    }
}
