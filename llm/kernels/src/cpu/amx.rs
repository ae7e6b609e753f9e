//! Matrix instructions (AMX): 32 rows of bf16 times a tile of 32 outputs.
//!
//! A tile that is laid out for the other instructions is what these read, too: sixteen words of the inputs are one of their
//! matrices for each half of the outputs. Of the eight registers four hold sums, two rows and two weights. A sum runs over
//! the inputs in one order whatever the rows, as without them.

use std::arch::asm;

use super::factors::Factors;
use super::weight::TILE;
use crate::backend::Backend;

/// Rows of a block.
pub(super) const BLOCK: usize = 32;

/// Words of the inputs that an instruction takes.
const STEP: usize = Factors::STEP;

/// Rows of a register.
const HALF: usize = BLOCK / 2;

/// Proof that this process computes with these instructions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amx(());

impl Amx {
    pub(super) fn detect() -> Option<Self> {
        (Backend::of_cpu() == Ok(Backend::Amx)).then_some(Self(()))
    }

    /// The registers of this thread, until what is returned is dropped.
    pub(super) fn registers(self) -> Registers {
        let Self(()) = self;
        let mut before = Shape::NONE;
        // SAFETY: there are such instructions, and room for what they store.
        unsafe { asm!("sttilecfg [{}]", in(reg) &raw mut before, options(nostack)) };
        Registers { before, rows: 0 }
    }
}

/// What the registers hold: bytes of a row, and rows.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Shape {
    palette: u8,
    start: u8,
    unused: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

impl Shape {
    const NONE: Self = Self { palette: 0, start: 0, unused: [0; 14], bytes: [0; 16], rows: [0; 16] };

    /// Sums of both halves of a block in 0 to 3, its rows in 4 and 5, weights in 6 and 7.
    fn of_rows(rows: usize) -> Self {
        let mut shape = Self { palette: 1, ..Self::NONE };
        let (first, second) = (rows.min(HALF), rows.saturating_sub(HALF));
        for (register, rows) in
            [(0, first), (1, first), (2, second), (3, second), (4, first), (5, second), (6, STEP), (7, STEP)]
        {
            // What has no rows has no columns either.
            if rows > 0 {
                (shape.rows[register], shape.bytes[register]) = (rows as u8, 4 * STEP as u16);
            }
        }
        shape
    }
}

/// The registers of a thread.
pub(super) struct Registers {
    /// Others, who share the thread, find them as they left them.
    before: Shape,
    rows: usize,
}

impl Registers {
    /// Shapes them for blocks of so many rows.
    pub(super) fn set_rows(&mut self, rows: usize) {
        assert!((1..=BLOCK).contains(&rows), "{rows} rows in a block");
        if self.rows != rows {
            self.rows = rows;
            // SAFETY: there are such instructions, and this is a shape that they have.
            unsafe { asm!("ldtilecfg [{}]", in(reg) &Shape::of_rows(rows), options(nostack, readonly)) };
        }
    }

    /// Adds to a block's sums, or to zero, the products of whole steps.
    ///
    /// # Safety
    /// `sums` has the rows, [`TILE`] numbers each; each of the factors has them, too, and weights for its words.
    pub(super) unsafe fn multiply(&self, factors: &[Factors; 2], sums: *mut f32, onto: bool) {
        /// The instructions, with those for a second half of the rows. They find what they multiply in `factors`.
        macro_rules! multiply {
            (zero: [$($zero:literal)*] load: [$($load:literal)*] second: [$($second:literal)*] store: [$($store:literal)*]) => {
                asm!(
                    "test {onto:e}, {onto:e}",
                    "jnz 3f",
                    "tilezero tmm0",
                    "tilezero tmm1",
                    $($zero,)*
                    "jmp 4f",
                    "3:",
                    "tileloadd tmm0, [{sums} + {tile}]",
                    "tileloadd tmm1, [{sums} + {tile} + 64]",
                    $($load,)*
                    "4:",
                    // Each of the factors.
                    "mov {x}, [{factors}]",
                    "mov {x_row}, [{factors} + 8]",
                    "mov {weights}, [{factors} + 16]",
                    "mov {steps}, [{factors} + 24]",
                    "mov {y}, {x_row}",
                    "shl {y}, 4",
                    "add {y}, {x}",
                    "shr {steps}, 4",
                    "jz 6f",
                    // Each step.
                    "5:",
                    "tileloadd tmm4, [{x} + {x_row}]",
                    "tileloadd tmm6, [{weights} + {tile}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm7, [{weights} + {tile} + 64]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    $($second,)*
                    "add {x}, 64",
                    "add {y}, 64",
                    "add {weights}, 2048",
                    "dec {steps}",
                    "jnz 5b",
                    "6:",
                    "add {factors}, 32",
                    "dec {count:e}",
                    "jnz 4b",
                    "tilestored [{sums} + {tile}], tmm0",
                    "tilestored [{sums} + {tile} + 64], tmm1",
                    $($store,)*
                    factors = inout(reg) factors.as_ptr() => _,
                    count = inout(reg) factors.len() as u32 => _,
                    onto = in(reg) u32::from(onto),
                    sums = in(reg) sums,
                    // Bytes of a row of a tile, and of sums.
                    tile = in(reg) size_of::<[f32; TILE]>(),
                    x = out(reg) _,
                    y = out(reg) _,
                    x_row = out(reg) _,
                    weights = out(reg) _,
                    steps = out(reg) _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                )
            };
        }
        // SAFETY: the registers have the rows; the rest is the caller's promise.
        unsafe {
            if self.rows > HALF {
                multiply!(
                    zero: ["tilezero tmm2" "tilezero tmm3"]
                    load: ["tileloadd tmm2, [{sums} + {tile} + 2048]" "tileloadd tmm3, [{sums} + {tile} + 2112]"]
                    second: [
                        "tileloadd tmm5, [{y} + {x_row}]"
                        "tdpbf16ps tmm2, tmm5, tmm6"
                        "tdpbf16ps tmm3, tmm5, tmm7"
                    ]
                    store: ["tilestored [{sums} + {tile} + 2048], tmm2" "tilestored [{sums} + {tile} + 2112], tmm3"]
                );
            } else {
                multiply!(zero: [] load: [] second: [] store: []);
            }
        }
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        // SAFETY: a shape that this thread had.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const self.before, options(nostack, readonly)) };
    }
}
