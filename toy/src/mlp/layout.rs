//! How values of several models, and of several images, lie in memory.

use super::{CLASSES, Row1, Row3};

/// A row of the first layer for each of G models.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Rows1<const G: usize>(pub(super) [Row1; G]);

/// Numbers per class for [`LANES`](super::LANES) images.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Tile(pub(super) [Row3; CLASSES]);
