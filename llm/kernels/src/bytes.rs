//! Where nobody multiplies bytes.

use tch::Tensor;

/// A weight in bytes: there is none.
#[derive(Debug)]
pub enum Bytes {}

impl Bytes {
    pub fn of(_: &Tensor) -> Option<Self> {
        None
    }

    pub fn product(&self, _: &Tensor, _: Option<&Tensor>, _: &Tensor) {
        match *self {}
    }
}
