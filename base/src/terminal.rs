//! Printing: status lines for whoever watches, and the output that a command was asked for.

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
