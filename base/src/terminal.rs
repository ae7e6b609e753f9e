//! Printing: status lines for whoever watches, and the output that a command was asked for.

use std::borrow::Cow;
use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::files::Error;

/// Prints a status line to standard error. A closed or full standard error is ignored: the work goes on.
#[macro_export]
macro_rules! status {
    ($($what:tt)*) => { $crate::terminal::print_status(format_args!($($what)*)) };
}

/// Prints to standard output. A closed pipe is ignored, since its reader has seen enough; any other failure is an
/// error.
#[macro_export]
macro_rules! output {
    ($($what:tt)*) => { $crate::terminal::print_output(format_args!($($what)*)) };
}

/// Whether this process prints neither status lines nor output.
static QUIET: AtomicBool = AtomicBool::new(false);

/// From now on nothing is printed: of several processes that compute one result, one speaks.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// A text of unknown origin without characters that control a terminal: an escape stands for each, a tab excepted.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\t' { out.extend(c.escape_debug()) } else { out.push(c) }
    }
    out
}

/// A word of a command as a person types it into a shell: in single quotes, unless it is plain.
pub fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if word.chars().all(is_plain) && !word.is_empty() {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

/// Prints a line to standard error; see [`status!`](crate::status).
pub fn print_status(what: Arguments<'_>) {
    if !QUIET.load(Ordering::Relaxed) {
        let _ = writeln!(io::stderr(), "{what}");
    }
}

/// Prints to standard output; see [`output!`](crate::output).
pub fn print_output(what: Arguments<'_>) -> Result<(), Error> {
    if QUIET.load(Ordering::Relaxed) {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    match out.write_fmt(what).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::at(Path::new("standard output"))(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{printable, quoted};

    #[test]
    fn nothing_printable_controls_the_terminal() {
        assert_eq!(printable("ä\t\u{1b}[2J\r\n\u{9b}2J\u{7f}"), "ä\t\\u{1b}[2J\\r\\n\\u{9b}2J\\u{7f}");
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_change_them() {
        let words = ["runs/a-b_1.5/out", "--set=train.lr=2e-4", "my cfg", "it's", "$HOME", "", "ä"];
        let typed = words.map(|word| quoted(word).into_owned());
        assert_eq!(typed[..2], words[..2]);
        assert_eq!(typed[2..], ["'my cfg'", r"'it'\''s'", "'$HOME'", "''", "'ä'"]);
    }
}
