//! In the place of matrix instructions where the processor cannot have them.

use super::factors::Factors;

/// Rows of a block.
pub(super) const BLOCK: usize = 32;

/// There are none.
#[derive(Clone, Copy, Debug)]
pub(super) enum Amx {}

impl Amx {
    pub(super) fn detect() -> Option<Self> {
        None
    }

    pub(super) fn registers(self) -> Registers {
        Registers(self)
    }
}

/// Cannot be had.
pub(super) struct Registers(Amx);

impl Registers {
    pub(super) fn set_rows(&mut self, _: usize) {
        match self.0 {}
    }

    /// # Safety
    /// It cannot be called.
    pub(super) unsafe fn multiply(&self, _: &[Factors; 2], _: *mut f32, _: bool) {
        match self.0 {}
    }
}
