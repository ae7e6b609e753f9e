//! The C library's allocator told to keep what training frees, and how much memory was used.
//!
//! A step allocates and frees the same large blocks again and again. As it comes, glibc maps each anew and gives it back,
//! and the kernel clears every page once more: 15–20 % of a step (measured with a careful PyTorch loop, 554 → 648
//! tokens/s). Kept in one heap they are cleared once; what the heap holds is what the step needs at its peak, so the peak
//! does not grow.
#![allow(unsafe_code)]

/// Blocks up to this size come from the heap (choice: larger than any activation).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGEST: i32 = 1 << 30;

/// The heap grows by so much at a time (choice).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const GROWTH: i32 = 64 << 20;

/// Tells the allocator to keep freed memory. To be called before anything large is allocated; elsewhere than on Linux
/// with glibc it does nothing.
pub fn keep() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // Sound: mallopt only sets numbers, under the allocator's own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, GROWTH);
    }
}

/// The most memory that this process has had resident, in bytes, where the system says.
pub fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_peak_is_at_least_what_was_written() {
        super::keep();
        let block = vec![1_u8; 50 << 20];
        assert!(super::peak_bytes().is_none_or(|peak| peak > block.len() as u64));
    }
}
