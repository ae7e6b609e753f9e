//! Sums over the GPUs of several processes by NCCL, which torch for CUDA brings: numbers go from GPU to GPU, and not
//! through the processors' memory. NCCL is opened and not linked: the program runs where it is not.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fs;
use std::ptr::null_mut;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use tch::{Kind, Tensor};

use super::driver::{Gpu, Handle, Library, Status, gpu};

/// What the processes of one group have in common: one of them makes it, and all join with it.
pub type Id = [u8; 128];

/// NCCL's and CUDA's numbers, as their headers have them.
const SUM: c_int = 0;
const F32: c_int = 7;
const IN_PROGRESS: Status = 7;
const NOT_READY: Status = 600;

/// How often a process that waits for a sum looks whether it is there.
const LOOK: Duration = Duration::from_micros(20);

/// An [`Id`] as it is handed over in C: by value.
#[repr(C)]
#[derive(Clone, Copy)]
struct IdValue(Id);

type AllReduce = unsafe extern "C" fn(
    send: *const c_void,
    receive: *mut c_void,
    count: usize,
    kind: c_int,
    operation: c_int,
    communicator: Handle,
    stream: Handle,
) -> Status;

#[derive(Clone, Copy)]
struct Functions {
    new_id: unsafe extern "C" fn(into: *mut IdValue) -> Status,
    join: unsafe extern "C" fn(into: *mut Handle, size: c_int, id: IdValue, rank: c_int) -> Status,
    all_reduce: AllReduce,
    /// What went wrong after a call had returned.
    later_error: unsafe extern "C" fn(communicator: Handle, into: *mut Status) -> Status,
    abort: unsafe extern "C" fn(communicator: Handle) -> Status,
    message: unsafe extern "C" fn(Status) -> *const c_char,
}

impl Functions {
    fn open() -> Result<Self, String> {
        let library = Library::open(&["libnccl.so.2", "libnccl.so"], "NCCL")?;
        // SAFETY: the types are those of NCCL's header.
        unsafe {
            Ok(Self {
                new_id: library.function(c"ncclGetUniqueId")?,
                join: library.function(c"ncclCommInitRank")?,
                all_reduce: library.function(c"ncclAllReduce")?,
                later_error: library.function(c"ncclCommGetAsyncError")?,
                abort: library.function(c"ncclCommAbort")?,
                message: library.function(c"ncclGetErrorString")?,
            })
        }
    }

    fn checked(&self, call: &str, status: Status) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: a text that lives as long as the library.
        let text = unsafe {
            let text = (self.message)(status);
            if text.is_null() { c"error" } else { CStr::from_ptr(text) }
        };
        Err(format!("{call}: {}", text.to_string_lossy()))
    }
}

/// Which GPU it is among those of all machines: processes with the same answer share one.
pub fn place(index: usize) -> Result<String, String> {
    let machine = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Ok(format!("{}/{}", machine.trim(), gpu(index)?.bus()?))
}

/// A new id.
pub fn new_id() -> Result<Id, String> {
    let functions = Functions::open()?;
    let mut id = IdValue([0; 128]);
    // SAFETY: fills in the id.
    let status = unsafe { (functions.new_id)(&raw mut id) };
    functions.checked("ncclGetUniqueId", status)?;
    Ok(id.0)
}

/// One process's end of the connections between the GPUs. It lives as long as the process.
pub struct Communicator {
    functions: Functions,
    handle: Handle,
    /// `None` in tests.
    gpu: Option<&'static Gpu>,
    /// Whether all work is done that a stream was given.
    query: unsafe extern "C" fn(stream: Handle) -> Status,
}

// SAFETY: NCCL's handles are the process's; one thread at a time calls it, as a step has one thread.
unsafe impl Send for Communicator {}
// SAFETY: as above.
unsafe impl Sync for Communicator {}

/// A handle on its way from the thread that made it.
struct Made(Handle);

// SAFETY: as the communicator that it becomes.
unsafe impl Send for Made {}

impl Communicator {
    /// Joins all processes, each of which makes this call at the same time, with its own GPU and number.
    pub fn join(
        index: usize,
        id: &Id,
        rank: usize,
        size: usize,
        patience: Duration,
    ) -> Result<&'static Self, String> {
        let gpu = gpu(index)?;
        Self::joined(Functions::open()?, Some(gpu), gpu.query, id, [rank, size], patience)
    }

    fn joined(
        functions: Functions,
        gpu: Option<&'static Gpu>,
        query: unsafe extern "C" fn(Handle) -> Status,
        id: &Id,
        [rank, size]: [usize; 2],
        patience: Duration,
    ) -> Result<&'static Self, String> {
        let (id, (sender, joined)) = (IdValue(*id), channel());
        // NCCL waits for the others without an end.
        thread::spawn(move || {
            if let Some(gpu) = gpu {
                gpu.enter();
            }
            let mut handle = null_mut();
            // SAFETY: fills in the handle.
            let status = unsafe { (functions.join)(&raw mut handle, size as c_int, id, rank as c_int) };
            let _ = sender.send((status, Made(handle)));
        });
        let late = |_| format!("ncclCommInitRank: the GPUs did not find each other within {patience:?}");
        let (status, Made(handle)) = joined.recv_timeout(patience).map_err(late)?;
        functions.checked("ncclCommInitRank", status)?;
        Ok(Box::leak(Box::new(Self { functions, handle, gpu, query })))
    }

    /// Adds up all processes' numbers (f32, contiguous, of one length), in place, and returns when the sum is there. The
    /// sums are the same in every process.
    ///
    /// While it waits, it asks for a reason to `stop`, which it returns. After that, or an error, no further sum is possible.
    pub fn all_reduce_sum<R>(
        &self,
        values: &Tensor,
        stop: impl Fn() -> Option<R>,
    ) -> Result<Option<R>, String> {
        assert!(values.kind() == Kind::Float && values.is_contiguous(), "f32, side by side");
        if let Some(gpu) = self.gpu {
            gpu.enter();
        }
        let numbers = values.data_ptr();
        // SAFETY: so many numbers, in the memory of the GPU that the communicator was made for; what libtorch does with them
        // before and after is on the same stream.
        let status = unsafe {
            (self.functions.all_reduce)(numbers, numbers, values.numel(), F32, SUM, self.handle, null_mut())
        };
        let stopped = self.functions.checked("ncclAllReduce", status).and_then(|()| self.wait(stop));
        if !matches!(stopped, Ok(None)) {
            // Else the GPU would wait for the others for ever.
            // SAFETY: it is not used again.
            unsafe { (self.functions.abort)(self.handle) };
        }
        stopped
    }

    fn wait<R>(&self, stop: impl Fn() -> Option<R>) -> Result<Option<R>, String> {
        loop {
            // SAFETY: libtorch's stream.
            match unsafe { (self.query)(null_mut()) } {
                0 => return Ok(None),
                NOT_READY => {}
                status => return Err(format!("cuStreamQuery: error {status}")),
            }
            let mut later = 0;
            // SAFETY: fills in a status.
            let status = unsafe { (self.functions.later_error)(self.handle, &raw mut later) };
            self.functions.checked("ncclCommGetAsyncError", status)?;
            if later != IN_PROGRESS {
                self.functions.checked("ncclAllReduce", later)?;
            }
            if let Some(reason) = stop() {
                return Ok(Some(reason));
            }
            thread::sleep(LOOK);
        }
    }
}

impl std::fmt::Debug for Communicator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Communicator").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "nccl_tests.rs"]
mod tests;
