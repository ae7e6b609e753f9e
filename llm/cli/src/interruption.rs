//! Ctrl-C: the first one stops in an orderly way, the second one at once.
#![allow(unsafe_code)] // Ending at once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of a program that was stopped by Ctrl-C.
pub(super) const INTERRUPTED: i32 = 130;

/// What a command that continues where it stopped says of the first Ctrl-C.
pub(super) const STOPPING: &str = "Stopping; the same command continues. Ctrl-C again stops at once.";

/// A flag that the first Ctrl-C sets, printing `notice`; the second Ctrl-C ends the program. `loss`: what is lost if the
/// system does not allow a handler.
pub(super) fn interruption(notice: &'static str, loss: &str) -> &'static AtomicBool {
    static ASKED: AtomicBool = AtomicBool::new(false);
    static HANDLED: OnceLock<()> = OnceLock::new();
    HANDLED.get_or_init(|| {
        let handler = ctrlc::set_handler(move || {
            if ASKED.swap(true, Ordering::Relaxed) {
                end(INTERRUPTED);
            }
            tokensieve_base::status!("\n{notice}");
        });
        if let Err(error) = handler {
            tokensieve_base::status!("warning: Ctrl-C will lose {loss} ({error})");
        }
    });
    &ASKED
}

/// Ends the program from a thread beside the one that works, without destructors, because other threads still use what
/// these would free. Files are safe: they are appended to line by line, or replaced atomically.
pub(super) fn end(code: i32) -> ! {
    // SAFETY: it only ends the program.
    unsafe { libc::_exit(code) }
}
