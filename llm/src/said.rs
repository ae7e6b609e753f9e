//! What is said to whoever watches, and what is printed for whoever asked.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write as _};

use crate::{Error, Result};

/// Says a line on standard error. Nobody need watch: where that is closed or full, the work goes on.
macro_rules! say {
    ($($what:tt)*) => { $crate::said::said(format_args!($($what)*)) };
}

/// Prints on standard output. A reader that has gone has seen enough; where there is no room, that is an error.
macro_rules! put {
    ($($what:tt)*) => { $crate::said::put(format_args!($($what)*)) };
}

pub(crate) fn said(what: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{what}");
}

pub(crate) fn put(what: Arguments<'_>) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_fmt(what).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::io("standard output")(error)),
        _ => Ok(()),
    }
}
