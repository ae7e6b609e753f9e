//! Ctrl-C: the first one stops in an orderly way, the second one at once.
#![allow(unsafe_code)] // Ending at once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of a program that was stopped by Ctrl-C.
pub(super) const INTERRUPTED: i32 = 130;

/// A flag that the first Ctrl-C sets, printing `notice`; the second Ctrl-C ends the program. `loss`: what is lost if the
/// system does not allow a handler.
pub(super) fn interruption(notice: &'static str, loss: &str) -> &'static AtomicBool {
    static ASKED: AtomicBool = AtomicBool::new(false);
    static HANDLED: OnceLock<()> = OnceLock::new();
    HANDLED.get_or_init(|| {
        let handler = ctrlc::set_handler(move || {
            if ASKED.swap(true, Ordering::Relaxed) {
                end();
            }
            tokensieve_model::status!("\n{notice}");
        });
        if let Err(error) = handler {
            tokensieve_model::status!("warning: Ctrl-C will lose {loss} ({error})");
        }
    });
    &ASKED
}

/// Ends the program from the signal handler's thread without destructors, because other threads still use what these would
/// free. Files are safe: they are appended to line by line, or replaced atomically.
pub(super) fn end() -> ! {
    // SAFETY: it only ends the program.
    unsafe { libc::_exit(INTERRUPTED) }
}
