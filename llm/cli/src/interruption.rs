//! Ctrl-C: the first one stops in an orderly way, the second one at once.
#![allow(unsafe_code)] // Ending at once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokensieve_processes::Copies;

/// The exit code of a program that was stopped by Ctrl-C.
pub(super) const INTERRUPTED: i32 = 130;

/// Printed at the first Ctrl-C by a command that continues where it stopped.
pub(super) const STOPPING: &str = "Stopping; the same command continues. Ctrl-C again stops at once.";

/// Whether Ctrl-C was pressed, and what the first one prints where it stops in an orderly way.
static ASKED: AtomicBool = AtomicBool::new(false);
static NOTICE: OnceLock<&str> = OnceLock::new();

/// When the first signal came. Signals closer together are one request: a terminal that closes sends one, and its shell another.
static FIRST: OnceLock<Instant> = OnceLock::new();
const ONE_REQUEST: Duration = Duration::from_millis(20);

/// A flag that the first Ctrl-C sets, printing `notice`; the second Ctrl-C ends the program. `loss`: what is lost if the
/// system does not allow a handler.
pub(super) fn interruption(notice: &'static str, loss: &str) -> &'static AtomicBool {
    NOTICE.get_or_init(|| notice);
    if let Err(error) = handle() {
        tokensieve_base::status!("warning: Ctrl-C will lose {loss} ({error})");
    }
    &ASKED
}

/// Until a verb asks for an [`interruption`], Ctrl-C ends the program at once, and its copies with it.
pub(super) fn ends_at_once() {
    // Without a handler the system ends this process alone; the copies then notice that it is gone.
    let _ = handle();
}

fn handle() -> Result<(), String> {
    static HANDLED: OnceLock<Result<(), String>> = OnceLock::new();
    let set = || {
        // SAFETY: it only asks how the signal is handled.
        let is_ignored = unsafe {
            let mut action = std::mem::zeroed::<libc::sigaction>();
            libc::sigaction(libc::SIGHUP, std::ptr::null(), &raw mut action) == 0
                && action.sa_sigaction == libc::SIG_IGN
        };
        let handler = ctrlc::set_handler(|| {
            let Some(notice) = NOTICE.get() else { end(INTERRUPTED) };
            let first = FIRST.get_or_init(Instant::now);
            if !ASKED.swap(true, Ordering::Relaxed) {
                tokensieve_base::status!("\n{notice}");
            } else if first.elapsed() >= ONE_REQUEST {
                end(INTERRUPTED);
            }
        });
        if is_ignored {
            // As `nohup` asks: the crate would stop at the end of the terminal's session.
            // SAFETY: it ignores a signal.
            unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
        }
        handler.map_err(|error| error.to_string())
    };
    HANDLED.get_or_init(set).clone()
}

/// Ends the program from a thread beside the one that works, without destructors, because other threads still use what
/// these would free. Files are safe: they are appended to line by line, or replaced atomically. Copies end with it.
pub(super) fn end(code: i32) -> ! {
    Copies::kill(|_| true);
    // SAFETY: it only ends the program.
    unsafe { libc::_exit(code) }
}
