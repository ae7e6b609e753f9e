//! What is said to whoever watches, and what is printed for whoever asked.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write as _};

use crate::Error;
use crate::Result;

/// Says a line on standard error. Nobody need watch: where that is closed or full, the work goes on.
#[macro_export]
macro_rules! say {
    ($($what:tt)*) => { $crate::terminal::said(format_args!($($what)*)) };
}

/// Prints on standard output. A reader that has gone has seen enough; where there is no room, that is an error.
#[macro_export]
macro_rules! put {
    ($($what:tt)*) => { $crate::terminal::put(format_args!($($what)*)) };
}

/// Prints a line on standard error; see [`say!`](crate::say).
pub fn said(what: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{what}");
}

/// Prints on standard output; see [`put!`](crate::put).
pub fn put(what: Arguments<'_>) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_fmt(what).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::io("standard output")(error)),
        _ => Ok(()),
    }
}
