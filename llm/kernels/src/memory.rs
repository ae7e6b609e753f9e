//! Where large tensors live, and how much memory was used.
#![allow(unsafe_code)]

use std::fs;
use std::path::Path;

use memmap2::{Mmap, UncheckedAdvice};
use tch::Device;

use crate::{cuda, shim};

/// Addresses for large CPU tensors: more than any machine has memory (choice). They cost nothing until written to.
const ADDRESSES: usize = 1 << 40;

/// Keeps what training frees, in one place and in huge pages: fresh pages cost 15–20 % of a step otherwise (measured
/// with a careful `PyTorch` loop, 554 → 648 tokens/s). Where the system does not allow it, tensors stay where they were.
///
/// Tensors that the memory cannot hold are then an error of libtorch, not the end of the process. Returns whether the system
/// allows it.
pub fn keep() -> bool {
    shim::use_arena(ADDRESSES, limit().unwrap_or(ADDRESSES))
}

/// Bytes that this process can have at most: the machine's memory and swap, or what control groups leave of them.
fn limit() -> Option<usize> {
    let sizes = fs::read_to_string("/proc/meminfo").ok()?;
    let size = |name: &str| sizes.lines().find_map(|line| kilobytes(line.strip_prefix(name)?));
    let within = |size: u64, files: [Option<&str>; 2]| size.min(group_limit(files).unwrap_or(u64::MAX));
    let memory = within(size("MemTotal:")?, [Some("memory.max"), Some("memory.limit_in_bytes")]);
    let swap = within(size("SwapTotal:").unwrap_or(0), [Some("memory.swap.max"), None]);
    usize::try_from(within(memory + swap, [None, Some("memory.memsw.limit_in_bytes")])).ok()
}

/// The least number that the control groups which this process is in have in a file, whose names are those of the second
/// and of the first version.
fn group_limit([new, old]: [Option<&str>; 2]) -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let of_line = |line: &str| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", new?),
            "memory" => ("/sys/fs/cgroup/memory", old?),
            _ => return None,
        };
        // In a container the path may be the host's: a file that is missing sets no limit, nor does the word `max`.
        let own = |group: &Path| fs::read_to_string(group.join(file)).ok()?.trim().parse().ok();
        let group = Path::new(root).join(path.trim_start_matches('/'));
        group.ancestors().take_while(|group| group.starts_with(root)).filter_map(own).min()
    };
    groups.lines().filter_map(of_line).min()
}

/// The bytes that a line of `/proc` gives in kilobytes.
fn kilobytes(text: &str) -> Option<u64> {
    text.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// Lets the system take a mapped file's pages back; they are read again when somebody asks.
pub fn release(map: &Mmap) {
    // SAFETY: the map is of a file and read-only, so its pages come back as they were. Where it fails they stay.
    let _ = unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) };
}

/// The most memory that this process has had resident, in bytes, where the system says.
pub fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| kilobytes(line.strip_prefix("VmHWM:")?))
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
    use std::hint::black_box;

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
        let Some(before) = super::peak_bytes() else { return };
        // More than other tests have at a time.
        let block = vec![1_u8; before as usize + (50 << 20)];
        assert!(super::peak_bytes().is_some_and(|peak| peak > black_box(&block).len() as u64));
    }

    #[test]
    fn the_limit_is_one_that_a_process_can_have() {
        let limit = super::limit().expect("the system says how much memory there is");
        assert!(super::peak_bytes().is_some_and(|peak| peak < limit as u64));
        assert_eq!(super::kilobytes("   1234 kB"), Some(1234 * 1024));
    }
}
