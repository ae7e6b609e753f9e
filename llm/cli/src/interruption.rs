//! Ctrl-C.
#![allow(unsafe_code)] // Ending at once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a shell expects of a program stopped by Ctrl-C.
pub(super) const INTERRUPTED: i32 = 130;

/// Becomes true at the first Ctrl-C, which says what follows; the second ends the program. `loss`: what is lost where the
/// system does not let Ctrl-C be caught.
pub(super) fn interruption(follows: &'static str, loss: &str) -> &'static AtomicBool {
    static ASKED: AtomicBool = AtomicBool::new(false);
    static HANDLED: OnceLock<()> = OnceLock::new();
    HANDLED.get_or_init(|| {
        let handler = ctrlc::set_handler(move || {
            if ASKED.swap(true, Ordering::Relaxed) {
                end();
            }
            tokensieve_model::status!("\n{follows}");
        });
        if let Err(error) = handler {
            tokensieve_model::status!("warning: Ctrl-C will lose {loss} ({error})");
        }
    });
    &ASKED
}

/// Ends the program from the thread that hears Ctrl-C, without tidying up: other threads compute with what that would take
/// from them. What is written is written whole, or under another name.
pub(super) fn end() -> ! {
    // SAFETY: it only ends the program.
    unsafe { libc::_exit(INTERRUPTED) }
}
