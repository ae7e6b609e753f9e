//! Memory in lines of the processor's cache.

use super::lanes::LANES;

/// A line of the processor's cache: sixteen words of 32 bits.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u32; LANES]);

pub(super) const EMPTY: Line = Line([0; LANES]);
