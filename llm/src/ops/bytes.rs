//! Where nobody multiplies bytes.

use tch::Tensor;

/// A weight in bytes: there is none.
#[derive(Debug)]
pub(crate) enum Bytes {}

impl Bytes {
    pub(crate) fn of(_: &Tensor) -> Option<Self> {
        None
    }

    pub(crate) fn product(&self, _: &Tensor, _: Option<&Tensor>, _: &Tensor) {
        match *self {}
    }
}
