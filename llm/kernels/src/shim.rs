//! The Rust side of `shim/`: what tch has no call for.
#![allow(unsafe_code)]

use std::any::Any;
use std::ffi::{CStr, c_char, c_void};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::null_mut;
use std::sync::{Mutex, PoisonError};

use tch::Tensor;

unsafe extern "C" {
    fn ts_use_arena(bytes: usize, memory: usize) -> bool;
    fn ts_parallel(n: i64, grain: i64, body: extern "C" fn(*const c_void, i64, i64), context: *const c_void);
    fn ts_pinned(numbers: *const c_void, result: *mut *mut c_void) -> *mut c_char;
    fn ts_device_bytes(device: i8, bytes: *mut i64) -> *mut c_char;
    fn ts_flash_attention(
        qkv: *const *const c_void,
        ends: *const c_void,
        longest: i64,
        scale: f64,
        window: i64,
        results: *mut *mut c_void,
    ) -> *mut c_char;
    fn ts_flash_attention_backward(
        outcome: *const *const c_void,
        qkv: *const *const c_void,
        ends: *const c_void,
        longest: i64,
        scale: f64,
        window: i64,
        results: *mut *mut c_void,
    ) -> *mut c_char;
}

/// Causal attention within documents, on CUDA.
pub struct FlashAttention {
    /// The documents' cumulative lengths from 0 on, i32, on the device.
    pub ends: Tensor,
    /// The longest document's length.
    pub longest: i64,
    /// What query·key is multiplied by.
    pub scale: f64,
    /// How many latest tokens a token sees.
    pub window: Option<usize>,
}

impl FlashAttention {
    /// Out and log-sum-exp of q, k and v, each `[T, heads, K]`.
    ///
    /// # Panics
    /// As tch's operators do, where libtorch refuses: a mistake of the calling code, or no memory.
    pub fn forward(&self, qkv: &[Tensor; 3]) -> [Tensor; 2] {
        let mut results = [null_mut(); 2];
        // SAFETY: the tensors live through the call, which fills `results` unless it gives a message.
        let message = unsafe {
            let (qkv, results) = (qkv.each_ref().map(pointer), results.as_mut_ptr());
            ts_flash_attention(
                qkv.as_ptr(),
                pointer(&self.ends),
                self.longest,
                self.scale,
                self.window(),
                results,
            )
        };
        taken(message, results)
    }

    /// Gradients of q, k and v, from the result's gradient, the result and its log-sum-exp.
    ///
    /// # Panics
    /// As above.
    pub fn backward(&self, outcome: &[Tensor; 3], qkv: &[Tensor; 3]) -> [Tensor; 3] {
        let mut results = [null_mut(); 3];
        // SAFETY: as in `forward`.
        let message = unsafe {
            ts_flash_attention_backward(
                outcome.each_ref().map(pointer).as_ptr(),
                qkv.each_ref().map(pointer).as_ptr(),
                pointer(&self.ends),
                self.longest,
                self.scale,
                self.window(),
                results.as_mut_ptr(),
            )
        };
        taken(message, results)
    }

    fn window(&self) -> i64 {
        self.window.map_or(0, |window| window as i64)
    }
}

fn pointer(tensor: &Tensor) -> *const c_void {
    tensor.as_ptr().cast()
}

/// What libtorch complained of, if it did.
fn complaint(message: *mut c_char) -> Option<String> {
    if message.is_null() {
        return None;
    }
    // SAFETY: a string from `strdup`, freed once.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // SAFETY: it is freed once, and not used again.
    unsafe { libc::free(message.cast()) };
    Some(text)
}

/// A copy of a CPU tensor in pages that stay where they are; `None` where there is no GPU, or no such memory left.
pub fn pinned(numbers: &Tensor) -> Option<Tensor> {
    let mut result = null_mut();
    // SAFETY: the tensor lives through the call, which fills `result` unless it gives a message.
    let message = unsafe { ts_pinned(pointer(numbers), &raw mut result) };
    // SAFETY: it was made with `new`, for its taker to delete.
    complaint(message).is_none().then(|| unsafe { Tensor::from_ptr(result.cast()) })
}

/// Bytes of a CUDA device's memory.
pub struct DeviceBytes {
    /// What libtorch holds and no tensor has.
    pub idle: u64,
    /// The most that tensors have had at a time.
    pub peak: u64,
}

/// `None` where there is no such device.
pub fn device_bytes(device: usize) -> Option<DeviceBytes> {
    let mut bytes = [0_i64; 3];
    // SAFETY: fills in three numbers.
    let message = unsafe { ts_device_bytes(i8::try_from(device).ok()?, bytes.as_mut_ptr()) };
    if complaint(message).is_some() {
        return None;
    }
    let [held, taken, peak] = bytes;
    Some(DeviceBytes { idle: u64::try_from(held - taken).ok()?, peak: u64::try_from(peak).ok()? })
}

/// The tensors that the shim made, unless it gave a message.
fn taken<const N: usize>(message: *mut c_char, results: [*mut c_void; N]) -> [Tensor; N] {
    if let Some(text) = complaint(message) {
        panic!("libtorch: {text}");
    }
    // SAFETY: each was made with `new`, for its taker to delete.
    results.map(|result| unsafe { Tensor::from_ptr(result.cast()) })
}

/// From now on large CPU tensors live in a stretch of so many addresses, and have no more than `memory` bytes together;
/// `shim/arena.cc` says why. False, and all as it was, where the system does not give the addresses.
pub fn use_arena(bytes: usize, memory: usize) -> bool {
    // SAFETY: takes two numbers; libtorch's allocators may be exchanged at any time, blocks know their own.
    unsafe { ts_use_arena(bytes, memory) }
}

/// Calls `body` with parts of 0..n, of `grain` or more each, on libtorch's own threads: a second pool would fight with
/// it for the cores.
///
/// # Panics
/// With the first panic of `body`, once all parts have ended.
pub fn parallel<F: Fn(Range<usize>) + Sync>(n: usize, grain: usize, body: F) {
    /// The closure, and its first panic, which must not unwind into C++.
    struct Context<F>(F, Mutex<Option<Box<dyn Any + Send>>>);
    extern "C" fn part<F: Fn(Range<usize>) + Sync>(context: *const c_void, begin: i64, end: i64) {
        // SAFETY: the context outlives `ts_parallel`, which calls from several threads; F is Sync.
        let Context(body, first) = unsafe { &*context.cast::<Context<F>>() };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(begin as usize..end as usize))) {
            first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
    }
    let context = Context(body, Mutex::new(None));
    // SAFETY: see above.
    unsafe { ts_parallel(n as i64, grain as i64, part::<F>, (&raw const context).cast()) };
    if let Some(panic) = context.1.into_inner().unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn parallel_parts_cover_the_range_once() {
        let seen: Vec<AtomicU32> = (0..1000).map(|_| AtomicU32::new(0)).collect();
        parallel(seen.len(), 10, |part| part.for_each(|i| _ = seen[i].fetch_add(1, Ordering::Relaxed)));
        assert!(seen.iter().all(|n| n.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn a_panic_of_a_part_reaches_the_caller() {
        // Not `panic!`, which prints past the capture of tests' output on libtorch's threads.
        let caught =
            catch_unwind(|| parallel(4, 1, |_| resume_unwind(Box::new("what libtorch says".to_owned()))));
        assert_eq!(caught.unwrap_err().downcast_ref::<String>().unwrap(), "what libtorch says");
        // One part of many, and within a part.
        let all = AtomicU32::new(0);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            parallel(4, 1, |part| {
                all.fetch_add(part.len() as u32, Ordering::Relaxed);
                if part.contains(&2) {
                    parallel(2, 1, |_| resume_unwind(Box::new(2)));
                }
            });
        }));
        assert_eq!((caught.unwrap_err().downcast_ref::<i32>(), all.into_inner()), (Some(&2), 4));
    }
}
