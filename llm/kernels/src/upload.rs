//! Numbers on their way to a device.

use tch::{Device, Tensor, kind::Element};

use crate::shim;

/// A tensor of these numbers on a device. The program does not wait for a GPU: from pages that stay where they are they
/// travel in their turn among what it computes.
pub fn upload<T: Element>(numbers: &[T], device: Device) -> Tensor {
    let here = Tensor::from_slice(numbers);
    let pinned = device.is_cuda().then(|| shim::pinned(&here)).flatten();
    pinned
        .map_or_else(|| here.to_device(device), |pinned| pinned.to_device_(device, here.kind(), true, false))
}
