//! Where large tensors live, and how much memory was used.
#![allow(unsafe_code)]

use memmap2::{Mmap, UncheckedAdvice};
use tch::Device;

use crate::{cuda, shim};

/// Addresses for large CPU tensors: more than any machine has memory (choice). They cost nothing until written to.
const ADDRESSES: usize = 1 << 40;

/// Keeps what training frees, in one place and in huge pages: fresh pages cost 15–20 % of a step otherwise (measured
/// with a careful `PyTorch` loop, 554 → 648 tokens/s). Where the system does not allow it, tensors stay where they were.
pub fn keep() {
    shim::use_arena(ADDRESSES);
}

/// Lets the system take a mapped file's pages back; they are read again when somebody asks.
pub fn release(map: &Mmap) {
    // SAFETY: the map is of a file and read-only, so its pages come back as they were. Where it fails they stay.
    let _ = unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) };
}

/// The most memory that this process has had resident, in bytes, where the system says.
pub fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// For people.
pub fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

/// The most memory that this process' tensors have taken on a device at a time, in bytes; `None` for the CPU, of which
/// [`peak_bytes`] says more.
pub fn peak_device_bytes(device: Device) -> Option<u64> {
    match device {
        Device::Cuda(index) => shim::device_bytes(index).map(|bytes| bytes.peak),
        _ => None,
    }
}

/// How many bytes tensors could still take on a device; `None` for the CPU, or where nobody says.
pub fn free_device_bytes(device: Device) -> Option<u64> {
    match device {
        Device::Cuda(index) => Some(cuda::free_bytes(index)? + shim::device_bytes(index)?.idle),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tch::{Cuda, Device};

    #[test]
    fn only_a_device_that_is_there_has_a_peak() {
        assert_eq!(super::peak_device_bytes(Device::Cpu), None);
        assert_eq!(super::free_device_bytes(Device::Cpu), None);
        // libtorch's complaint on a machine without CUDA, not an end of the program.
        assert!(Cuda::is_available() || super::peak_device_bytes(Device::Cuda(0)).is_none());
        assert!(Cuda::is_available() || super::free_device_bytes(Device::Cuda(0)).is_none());
    }

    #[test]
    fn the_peak_is_at_least_what_was_written() {
        super::keep();
        let block = vec![1_u8; 50 << 20];
        assert!(super::peak_bytes().is_none_or(|peak| peak > block.len() as u64));
    }
}
