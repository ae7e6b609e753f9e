//! Ends the program when a chat template takes more memory or time than [`limits`] allows: nothing in the template's
//! language can be stopped halfway through a step. Results are safe, as after a kill.
#![allow(unsafe_code)] // An allocator, and ending at once.

use std::alloc::{GlobalAlloc, Layout, System};
use std::thread;
use std::time::Duration;

use tokensieve_model::text::limits;

/// How often renderings are looked at (choice).
const TICK: Duration = Duration::from_millis(500);

/// The system's allocator, which counts what a template takes.
#[derive(Debug)]
pub struct Allocator;

// SAFETY: everything is passed on to the system's allocator, as it is.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(at, layout, size) }
    }
}

fn count(bytes: isize) {
    if !limits::count(bytes) {
        end(
            "error: the chat template takes more than 256 MiB of memory to write one conversation; choose another template\n",
        );
    }
}

/// Starts to watch the time.
pub(super) fn watch() {
    thread::spawn(|| {
        loop {
            thread::sleep(TICK);
            if limits::longest().is_some_and(|time| time > limits::TIME) {
                end(
                    "error: the chat template takes more than 10 s to write one conversation; choose another template\n",
                );
            }
        }
    });
}

/// Prints a message without allocating, and ends the program as an error does.
fn end(message: &'static str) -> ! {
    // SAFETY: the message has this many bytes, and nothing runs afterwards.
    unsafe {
        libc::write(libc::STDERR_FILENO, message.as_ptr().cast(), message.len());
        libc::_exit(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_the_limits() {
        assert_eq!((limits::MEMORY, limits::TIME), (256 << 20, Duration::from_secs(10)));
    }
}
