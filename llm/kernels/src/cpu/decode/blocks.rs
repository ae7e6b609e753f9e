//! Memory for keys and values, in blocks of sixteen tokens: a sequence that grows takes one more, one that ends leaves its
//! own to others, and sequences that begin alike hold the same.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tch::{Device, Kind, Tensor};

use crate::cpu::lanes::LANES;
use crate::cpu::line::Line;

/// Bytes that are allocated at a time, at least (choice: several huge pages, and little beside a small model).
const SLAB: usize = 8 << 20;

/// Where blocks come from.
#[derive(Debug)]
pub(super) struct Pool {
    /// Lines of a block.
    lines: usize,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// Tensors, for these lie in huge pages.
    slabs: Vec<Tensor>,
    /// Addresses of the blocks in them that nobody holds.
    free: Vec<usize>,
}

/// Keys and values of sixteen tokens, in every layer.
#[derive(Debug)]
pub(super) struct Block {
    first: usize,
    pool: Arc<Pool>,
}

impl Pool {
    /// One of blocks of so many lines.
    pub(super) fn new(lines: usize) -> Arc<Self> {
        Arc::new(Self { lines, memory: Mutex::default() })
    }

    /// A block of zeros.
    pub(super) fn block(self: &Arc<Self>) -> Block {
        let mut memory = self.memory();
        if memory.free.is_empty() {
            let count = self.blocks_of_a_slab();
            let slab = Tensor::zeros([(count * self.lines * LANES) as i64], (Kind::Int, Device::Cpu));
            let first = slab.data_ptr() as usize;
            // The first ones are taken first.
            memory.free.extend((0..count).rev().map(|block| first + block * self.lines * size_of::<Line>()));
            memory.slabs.push(slab);
        }
        Block { first: memory.free.pop().expect("a slab has blocks"), pool: self.clone() }
    }

    fn blocks_of_a_slab(&self) -> usize {
        (SLAB / size_of::<Line>() / self.lines).max(1)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Nothing that can panic leaves it half changed.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Block {
    pub(super) fn lines(&self) -> *mut Line {
        self.first as *mut Line
    }

    /// Another with the same content.
    pub(super) fn copy(&self) -> Self {
        let copy = self.pool.block();
        // SAFETY: two blocks of one pool.
        unsafe { copy.lines().copy_from_nonoverlapping(self.lines(), self.pool.lines) };
        copy
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // Values behind a sequence's end are multiplied by zero, which leaves NaN of the last holder NaN.
        // SAFETY: a block of this pool, whose last holder goes.
        unsafe { self.lines().write_bytes(0, self.pool.lines) };
        let mut memory = self.pool.memory();
        memory.free.push(self.first);
        if memory.free.len() == memory.slabs.len() * self.pool.blocks_of_a_slab() {
            // Nobody holds any: others than this model may want the memory.
            *memory = Memory::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_apart_and_used_again_and_all_memory_is_given_back() {
        let pool = Pool::new(SLAB / size_of::<Line>() / 3);
        let mut held: Vec<Block> = (0..4).map(|_| pool.block()).collect();
        assert_eq!(pool.memory().slabs.len(), 2);
        let mut places: Vec<usize> = held.iter().map(|block| block.first).collect();
        let last = places[3];
        places.sort_unstable();
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= pool.lines * size_of::<Line>()));
        assert!(places.iter().all(|place| place % align_of::<Line>() == 0));
        // SAFETY: a block of one's own.
        unsafe { held[0].lines().write(Line([7; LANES])) };
        let copy = held[0].copy();
        // SAFETY: likewise.
        assert_eq!(unsafe { copy.lines().read().0 }, [7; LANES]);
        drop(copy);
        // SAFETY: likewise.
        unsafe { held[3].lines().write(Line([7; LANES])) };
        held.pop();
        held.push(pool.block());
        // SAFETY: likewise.
        assert_eq!((held[3].first, unsafe { held[3].lines().read().0 }), (last, [0; LANES]));
        held.clear();
        let memory = pool.memory();
        assert_eq!((memory.slabs.len(), memory.free.len()), (0, 0));
    }
}
