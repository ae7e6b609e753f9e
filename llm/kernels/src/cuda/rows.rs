//! Tensors as the kernels read them.

use tch::{Kind, Tensor};

use super::argument::{Argument, Place};

/// Numbers that a thread reads at a time.
pub(super) const LANES: usize = 8;

/// Bytes that a thread reads at a time.
const ALIGNMENT: usize = 16;

/// A matrix of f32 or bf16, its rows at multiples of [`ALIGNMENT`] and a multiple of [`LANES`] long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    place: Place,
    pub(super) count: usize,
    pub(super) columns: usize,
}

/// Rows of which each consists of parts, as a token's of its heads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    pub(super) rows: Rows,
    pub(super) per_row: usize,
    stride: i64,
}

impl Rows {
    /// `None` where the kernels cannot read it.
    pub(super) fn of(matrix: &Tensor) -> Option<Self> {
        let (size, strides) = (matrix.size(), matrix.stride());
        let ([count, columns], [apart, 1]) = (&size[..], &strides[..]) else { return None };
        let wide = match matrix.kind() {
            Kind::Float => true,
            Kind::BFloat16 => false,
            _ => return None,
        };
        let (base, bytes) = (matrix.data_ptr(), if wide { 4 } else { 2 });
        // Where one row follows no other, its distance from it means nothing.
        let stride = if *count > 1 { *apart } else { *columns };
        let aligned = [base as usize, stride as usize * bytes].iter().all(|place| place % ALIGNMENT == 0);
        (aligned && (*columns as usize).is_multiple_of(LANES)).then_some(Self {
            place: Place { base, stride, wide: i64::from(wide) },
            count: *count as usize,
            columns: *columns as usize,
        })
    }

    /// A matrix of so many rows and columns; a place without a base where there is none.
    pub(super) fn of_optional(matrix: Option<&Tensor>, count: usize, columns: usize) -> Option<Argument> {
        let Some(matrix) = matrix else {
            return Some(Argument::Rows(Place::NOWHERE));
        };
        let rows = Self::of(matrix)?;
        assert_eq!((rows.count, rows.columns), (count, columns), "a matrix of another size");
        Some(rows.argument())
    }

    pub(super) fn argument(&self) -> Argument {
        Argument::Rows(self.place)
    }
}

impl Parts {
    /// Of `[T, D]`, or of `[T, heads, D]`.
    pub(super) fn of(tensor: &Tensor) -> Option<Self> {
        let (size, apart) = (tensor.size(), tensor.stride());
        match (size[..].len(), &apart[..]) {
            (2, _) => Some(Self { rows: Rows::of(tensor)?, per_row: 1, stride: 0 }),
            (3, [_, stride, 1]) => {
                // The kernels' rows start with the first part; the others stand in a whole number of reads from it.
                let rows = Rows::of(&tensor.select(1, 0))?;
                let aligned = (*stride as usize).is_multiple_of(LANES);
                aligned.then_some(Self { rows, per_row: size[1] as usize, stride: *stride })
            }
            _ => None,
        }
    }

    /// How many parts all rows have.
    pub(super) fn count(&self) -> usize {
        self.rows.count * self.per_row
    }

    /// How far they are apart.
    pub(super) fn stride(&self) -> Argument {
        Argument::Integer(self.stride)
    }
}

pub(super) fn integer(number: usize) -> Argument {
    Argument::Integer(number as i64)
}

pub(super) fn pointer(tensor: &Tensor) -> Argument {
    Argument::Pointer(tensor.data_ptr())
}

/// The numbers of a contiguous tensor of f32.
pub(super) fn floats(tensor: &Tensor) -> Option<Argument> {
    (tensor.kind() == Kind::Float && tensor.is_contiguous()).then(|| pointer(tensor))
}
