//! The Rust side of `shim/shim.cc`: what tch has no call for.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

unsafe extern "C" {
    fn ts_parallel(n: i64, grain: i64, body: extern "C" fn(*const c_void, i64, i64), context: *const c_void);
}

/// Calls `body` with parts of 0..n, of `grain` or more each, on libtorch's own threads: a second pool would fight with
/// it for the cores.
pub fn parallel<F: Fn(Range<usize>) + Sync>(n: usize, grain: usize, body: F) {
    extern "C" fn part<F: Fn(Range<usize>) + Sync>(context: *const c_void, begin: i64, end: i64) {
        // Sound: the closure outlives `ts_parallel`, which calls from several threads; F is Sync.
        let body = unsafe { &*context.cast::<F>() };
        // An abort, not an unwinding into C++.
        if catch_unwind(AssertUnwindSafe(|| body(begin as usize..end as usize))).is_err() {
            std::process::abort();
        }
    }
    // Sound: see above.
    unsafe { ts_parallel(n as i64, grain as i64, part::<F>, (&raw const body).cast()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallel_parts_cover_the_range_once() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let seen: Vec<AtomicU32> = (0..1000).map(|_| AtomicU32::new(0)).collect();
        parallel(seen.len(), 10, |part| part.for_each(|i| _ = seen[i].fetch_add(1, Ordering::Relaxed)));
        assert!(seen.iter().all(|n| n.load(Ordering::Relaxed) == 1));
    }
}
