//! What a kernel is given.

use std::ffi::c_void;
use std::ptr::null_mut;

/// `Rows` of `kernels.cu`: a matrix whose rows may lie apart.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Place {
    pub(super) base: *mut c_void,
    /// How far rows are apart, in numbers.
    pub(super) stride: i64,
    /// Whether the numbers are f32.
    pub(super) wide: i64,
}

impl Place {
    /// Of a matrix that there is not.
    pub(super) const NOWHERE: Self = Self { base: null_mut(), stride: 0, wide: 0 };
}

/// An argument of a kernel.
#[derive(Clone, Copy, Debug)]
pub(super) enum Argument {
    Rows(Place),
    Pointer(*mut c_void),
    Integer(i64),
    Number(f32),
}

impl Argument {
    /// Where it stands, as launches want it.
    pub(super) fn place(&self) -> *mut c_void {
        match self {
            Self::Rows(place) => std::ptr::from_ref(place).cast_mut().cast(),
            Self::Pointer(pointer) => std::ptr::from_ref(pointer).cast_mut().cast(),
            Self::Integer(number) => std::ptr::from_ref(number).cast_mut().cast(),
            Self::Number(number) => std::ptr::from_ref(number).cast_mut().cast(),
        }
    }
}
