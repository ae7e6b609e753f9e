//! Printing: status lines for whoever watches, and the output that a command was asked for.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write as _};

use crate::Error;
use crate::Result;

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

/// Prints a line to standard error; see [`status!`](crate::status).
pub fn print_status(what: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{what}");
}

/// Prints to standard output; see [`output!`](crate::output).
pub fn print_output(what: Arguments<'_>) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_fmt(what).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::io("standard output")(error)),
        _ => Ok(()),
    }
}
