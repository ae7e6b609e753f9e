//! Work that several processes share: each does its part of the items, and process 0 stores what comes of them.

use std::cell::Cell;
use std::ops::{ControlFlow, Range};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use tokensieve_model::{Error, Result};
use tokensieve_processes::{Group, all_same};

/// How often a process that waits for the others looks whether it is stopped.
const LOOK: Duration = Duration::from_millis(100);

/// The processes that share the work, or this one alone. All make the same calls in the same order.
#[derive(Debug, Default)]
pub struct Together<'g> {
    group: Option<&'g Group>,
    /// In process 0: how many of the others have done their part.
    done: Cell<usize>,
}

impl<'g> Together<'g> {
    /// This process alone.
    pub fn alone() -> Self {
        Self::default()
    }

    /// The processes of a group, if there is one.
    pub fn of(group: Option<&'g Group>) -> Self {
        Self { group, done: Cell::new(0) }
    }

    /// This process' number.
    pub fn rank(&self) -> usize {
        self.group.map_or(0, Group::rank)
    }

    /// How many processes there are.
    pub fn size(&self) -> usize {
        self.group.map_or(1, Group::size)
    }

    /// Whether this process stores what comes of the work.
    pub fn stores(&self) -> bool {
        self.rank() == 0
    }

    /// What process 0 knows; the others' own does not count.
    pub fn agreed<T: Serialize + DeserializeOwned>(&self, known: T) -> Result<T> {
        let Some(group) = self.group else { return Ok(known) };
        read(&group.broadcast(&written(&known)).map_err(Error::other)?)
    }

    /// Sees that all processes have read the same.
    pub fn same<T: Serialize>(&self, what: &str, read: impl FnOnce() -> T) -> Result<()> {
        let Some(group) = self.group else { return Ok(()) };
        let all = group.gather(&written(&read())).map_err(Error::other)?;
        all_same(what, &all).map_err(Error::Run)
    }

    /// This process' part of so many items: those that follow each other are often computed together.
    pub fn part(&self, items: usize) -> Range<usize> {
        let end = |rank: usize| items * rank / self.size();
        end(self.rank())..end(self.rank() + 1)
    }

    /// Sends process 0 what came of an item.
    pub fn send(&self, found: &impl Serialize) -> Result<()> {
        self.send_letter(&Some(found))
    }

    /// In process 0: passes on what the others have sent so far.
    pub fn received<T: DeserializeOwned>(&self, mut each: impl FnMut(T) -> Result<()>) -> Result<()> {
        while let Some(letter) = self.letter(Duration::ZERO)? {
            self.open(&letter, &mut each)?;
        }
        Ok(())
    }

    /// Ends the work on some items: returns when all processes have done their parts, or breaks when this one of several is
    /// `stopped` before it knows that they have. Process 0 passes on what the others sent.
    pub fn finish<T: DeserializeOwned>(
        &self,
        stopped: impl Fn() -> bool,
        mut each: impl FnMut(T) -> Result<()>,
    ) -> Result<ControlFlow<()>> {
        let Some(group) = self.group else { return Ok(ControlFlow::Continue(())) };
        if self.stores() {
            let others_work = || self.done.get() + 1 < self.size();
            while others_work() && !stopped() {
                if let Some(letter) = self.letter(LOOK)? {
                    self.open(&letter, &mut each)?;
                }
            }
            if others_work() {
                self.received(&mut each)?;
                return Ok(ControlFlow::Break(()));
            }
        } else if stopped() {
            return Ok(ControlFlow::Break(()));
        } else {
            // Nothing more will come.
            self.send_letter(&None::<()>)?;
        }
        self.done.set(0);
        group.wait().map_err(Error::other)?;
        Ok(ControlFlow::Continue(()))
    }

    fn send_letter(&self, what: &impl Serialize) -> Result<()> {
        self.group.map_or(Ok(()), |group| group.send_letter(0, &written(what))).map_err(Error::other)
    }

    fn letter(&self, within: Duration) -> Result<Option<Vec<u8>>> {
        let letter = self.group.map_or(Ok(None), |group| group.letter(within)).map_err(Error::other)?;
        Ok(letter.map(|(_, bytes)| bytes))
    }

    fn open<T: DeserializeOwned>(&self, letter: &[u8], each: &mut impl FnMut(T) -> Result<()>) -> Result<()> {
        if let Some(found) = read::<Option<T>>(letter)? {
            return each(found);
        }
        self.done.set(self.done.get() + 1);
        Ok(())
    }
}

fn written(what: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(what).expect("plain data")
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::Run(format!("another process sent what this one does not know: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_has_all_and_waits_for_nobody() {
        let alone = Together::alone();
        assert!(alone.stores() && alone.part(7) == (0..7));
        assert_eq!(alone.agreed(vec![1, 2]).unwrap(), [1, 2]);
        alone.send(&1).unwrap();
        alone.received(|_: usize| unreachable!("nobody sends")).unwrap();
        assert!(alone.finish(|| false, |_: usize| unreachable!("nobody sends")).unwrap().is_continue());
    }
}
