//! Bounds on what a chat template may take while it writes one conversation: it comes with a model, from anywhere.
//!
//! Steps and the length of the text are counted here, and more than the limit is an error. Memory and time cannot be: one
//! step may ask for any amount of either. A program bounds them with [`count`] in its allocator and by watching
//! [`longest`].

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Steps, each an instruction or 64 bytes that the template makes (choice: a thousand turns take a fiftieth, and this many
/// less than a second).
pub(super) const FUEL: u64 = 5_000_000;

/// Bytes of text (choice: a hundred times the longest context of today).
const TEXT: usize = 64 << 20;

/// Bytes of memory (choice).
pub const MEMORY: isize = 256 << 20;

/// Time (choice: a conversation takes less than a millisecond).
pub const TIME: Duration = Duration::from_secs(10);

thread_local! {
    /// Bytes that were allocated since the rendering on this thread began; `None` if there is none.
    static HELD: Cell<Option<isize>> = const { Cell::new(None) };
}

/// When each rendering began.
static RUNNING: Mutex<Vec<Instant>> = Mutex::new(Vec::new());

/// Renders, with memory and time counted.
pub(super) fn watched<T>(render: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push(began);
    HELD.set(Some(0));
    let rendered = render();
    HELD.set(None);
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(own) = running.iter().position(|other| *other == began) {
        running.swap_remove(own);
    }
    rendered
}

/// Counts bytes that this thread allocates, or frees if negative. False if a template would hold more than [`MEMORY`].
pub fn count(bytes: isize) -> bool {
    let Some(held) = HELD.get() else { return true };
    let held = held.saturating_add(bytes);
    HELD.set(Some(held));
    held <= MEMORY
}

/// How long the longest present rendering has taken.
pub fn longest() -> Option<Duration> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Instant::elapsed).max()
}

pub(super) fn too_many_steps() -> String {
    format!(
        "the chat template takes more than {FUEL} steps to write one conversation; choose another template"
    )
}

pub(super) fn too_long() -> String {
    format!(
        "the chat template writes more than {} MiB for one conversation; choose another template",
        TEXT >> 20
    )
}

/// A text that takes no more than [`TEXT`] bytes.
#[derive(Debug, Default)]
pub(super) struct Limited {
    text: Vec<u8>,
    is_full: bool,
}

impl Limited {
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(super) fn into_text(self) -> Result<String, String> {
        String::from_utf8(self.text).map_err(|error| error.to_string())
    }
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > TEXT {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Message, Moment, Template};
    use super::*;

    fn rendered(source: &str) -> Result<String, String> {
        Template::new(source, [], Moment::default()).unwrap().render(
            &[Message::new("user", "Hi")],
            &[],
            false,
        )
    }

    #[test]
    fn steps_and_text_are_bounded() {
        let all =
            "{% for i in range(100000) %}{% for j in range(100000) %}{% set k = j %}{% endfor %}{% endfor %}";
        assert_eq!(rendered(all).unwrap_err(), too_many_steps());
        let long = "{% for i in range(100000) %}{{ 'x' * 1000000 }}{% endfor %}";
        assert_eq!(rendered(long).unwrap_err(), too_long());
        assert_eq!(rendered("{{ 'x' * 1000000 }}").unwrap().len(), 1_000_000);
    }

    #[test]
    fn memory_counts_while_a_template_writes() {
        assert!(count(MEMORY) && count(MEMORY));
        watched(|| {
            assert!(count(MEMORY) && count(-10) && count(10) && !count(1));
            assert!(longest().is_some());
        });
        assert!(count(MEMORY));
    }
}
