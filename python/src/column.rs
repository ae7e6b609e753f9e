//! A column of numbers in Python's memory, read where it lies.
#![allow(unsafe_code)] // Reads what the buffer protocol lends.

use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A buffer of one dimension, of any stride.
pub(crate) struct Column<T: Element> {
    buffer: PyBuffer<T>,
    stride: isize,
}

impl<T: Element> FromPyObject<'_, '_> for Column<T> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let buffer = PyBuffer::get(&object)?;
        match (buffer.strides(), buffer.suboffsets()) {
            (&[stride], None) => Ok(Self { buffer, stride }),
            _ => Err(PyValueError::new_err("a column of numbers has one dimension")),
        }
    }
}

impl<T: Element> Column<T> {
    pub(crate) fn len(&self) -> usize {
        self.buffer.item_count()
    }

    /// Where its first number lies.
    pub(crate) fn address(&self) -> usize {
        self.buffer.buf_ptr().addr()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = T> {
        let first = self.buffer.buf_ptr().cast::<u8>().cast_const();
        (0..self.len()).map(move |index| {
            // SAFETY: the exporter keeps the memory of `len` numbers, `stride` bytes apart from `first` on, until the
            // buffer is released, and every pattern of bits is a `T`. `read_unaligned`, since only the first number is
            // known to be aligned. That no thread writes there meanwhile is the caller's duty, as with any extension.
            unsafe { first.offset(index as isize * self.stride).cast::<T>().read_unaligned() }
        })
    }
}
