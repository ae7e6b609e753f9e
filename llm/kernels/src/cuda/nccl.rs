//! Sums over the GPUs of several processes by NCCL, which torch for CUDA brings: numbers go from GPU to GPU, and not
//! through the processors' memory. NCCL is opened and not linked: the program runs where it is not.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fs;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

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

/// How long a sum may take (choice): all processes are there when it begins.
const LONGEST: Duration = Duration::from_secs(600);

/// How long NCCL may take to give up (choice): it may wait for processes that do not.
const GIVING_UP: Duration = Duration::from_secs(5);

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
    let path = "/proc/sys/kernel/random/boot_id";
    let machine = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
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

/// NCCL's handle of a communicator.
#[derive(Debug)]
struct Connected(Handle);

// SAFETY: NCCL's handles are the process's; they may be used by any thread, by one at a time.
unsafe impl Send for Connected {}

/// Why a process is not connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unconnected {
    /// What went wrong.
    pub why: String,
    /// Whether NCCL still occupies the GPU, so that this process can compute nothing on it any more.
    pub stuck: bool,
}

impl From<String> for Unconnected {
    fn from(why: String) -> Self {
        Self { why, stuck: false }
    }
}

/// One process's end of the connections between the GPUs. It lives as long as the process.
pub struct Communicator {
    functions: Functions,
    /// `None` when it was given up.
    connected: Mutex<Option<Connected>>,
    /// Whether NCCL was to give up and still occupies the GPU.
    stuck: AtomicBool,
    device: Device,
    /// `None` in tests.
    gpu: Option<&'static Gpu>,
    /// Whether all work is done that a stream was given.
    query: unsafe extern "C" fn(stream: Handle) -> Status,
}

impl Communicator {
    /// Connects all processes, each of which makes this call at the same time, with its own GPU and number. So many
    /// `numbers` are added up as a trial: NCCL connects some of its ways only when they are needed.
    pub fn join(
        index: usize,
        id: &Id,
        [rank, size]: [usize; 2],
        numbers: usize,
        patience: Duration,
    ) -> Result<&'static Self, Unconnected> {
        let gpu = gpu(index).map_err(str::to_owned)?;
        let own = Self {
            functions: Functions::open()?,
            connected: Mutex::new(None),
            stuck: AtomicBool::new(false),
            device: Device::Cuda(index),
            gpu: Some(gpu),
            query: gpu.query,
        };
        own.joined(id, [rank, size], numbers, patience)
    }

    fn joined(
        self,
        id: &Id,
        [rank, size]: [usize; 2],
        numbers: usize,
        patience: Duration,
    ) -> Result<&'static Self, Unconnected> {
        let id = IdValue(*id);
        let own = within(patience, "ncclCommInitRank", move || self.connected(id, [rank, size]))??;
        let own: &'static Self = Box::leak(Box::new(own));
        let until = Instant::now() + patience;
        within(patience + 2 * GIVING_UP, "ncclAllReduce", move || own.try_sum(size, numbers, until))??;
        Ok(own)
    }

    fn connected(mut self, id: IdValue, [rank, size]: [usize; 2]) -> Result<Self, String> {
        self.enter()?;
        let mut handle = null_mut();
        // SAFETY: fills in the handle.
        let status = unsafe { (self.functions.join)(&raw mut handle, size as c_int, id, rank as c_int) };
        self.functions.checked("ncclCommInitRank", status)?;
        self.connected = Mutex::new(Some(Connected(handle)));
        Ok(self)
    }

    /// Sees that a sum comes, in time, and is right.
    fn try_sum(&self, size: usize, numbers: usize, until: Instant) -> Result<(), Unconnected> {
        // More go the same ways, and need memory that the gradient's own sum does not (choice: 256 MiB).
        let ones = Tensor::ones([numbers.min(64 << 20) as i64], (Kind::Float, self.device));
        let late = || (Instant::now() > until).then_some(());
        let why = match self.all_reduce_sum(&ones, late) {
            Ok(None) if bool::try_from(ones.eq(size as f64).all()).unwrap_or(false) => return Ok(()),
            Ok(None) => "NCCL's trial sum is wrong".to_owned(),
            Ok(Some(())) => "NCCL's trial sum did not come in time".to_owned(),
            Err(why) => why,
        };
        Err(Unconnected { why, stuck: self.stuck.load(Ordering::Relaxed) })
    }

    fn enter(&self) -> Result<(), String> {
        self.gpu.map_or(Ok(()), Gpu::enter)
    }

    /// Adds up all processes' numbers (f32, contiguous, of one length), in place, and returns when the sum is there. The
    /// sums are the same in every process.
    ///
    /// While it waits it calls `stop`; a reason that this gives ends the wait and is returned. After that, or an error, no
    /// further sum is possible.
    ///
    /// # Panics
    /// If the numbers are not contiguous f32 on this communicator's device.
    pub fn all_reduce_sum<R>(
        &self,
        values: &Tensor,
        stop: impl Fn() -> Option<R>,
    ) -> Result<Option<R>, String> {
        assert_eq!((values.kind(), values.device()), (Kind::Float, self.device));
        assert!(values.is_contiguous());
        let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Connected(handle)) = *connected else {
            return Err("the connections between the GPUs were given up".to_owned());
        };
        self.enter()?;
        let numbers = values.data_ptr();
        // SAFETY: so many numbers, in the memory of the communicator's GPU; what libtorch does with them before and after is
        // on the same stream.
        let status = unsafe {
            (self.functions.all_reduce)(numbers, numbers, values.numel(), F32, SUM, handle, null_mut())
        };
        let outcome = self.functions.checked("ncclAllReduce", status).and_then(|()| self.wait(handle, stop));
        if !matches!(outcome, Ok(None)) {
            // Else the GPU would wait for the others for ever.
            self.give_up(connected.take());
        }
        outcome
    }

    fn wait<R>(&self, handle: Handle, stop: impl Fn() -> Option<R>) -> Result<Option<R>, String> {
        let until = Instant::now() + LONGEST;
        loop {
            // SAFETY: libtorch's stream.
            let done = unsafe { (self.query)(null_mut()) };
            let mut later = 0;
            // SAFETY: fills in a status.
            let status = unsafe { (self.functions.later_error)(handle, &raw mut later) };
            self.functions.checked("ncclCommGetAsyncError", status)?;
            if later != IN_PROGRESS {
                self.functions.checked("ncclAllReduce", later)?;
            }
            match done {
                0 => return Ok(None),
                NOT_READY => {}
                status => return Err(format!("cuStreamQuery: error {status}")),
            }
            if let Some(reason) = stop() {
                return Ok(Some(reason));
            }
            if Instant::now() > until {
                return Err(format!("NCCL did not add up within {LONGEST:?}"));
            }
            thread::sleep(LOOK);
        }
    }

    fn give_up(&self, connected: Option<Connected>) {
        let Some(connected) = connected else { return };
        let abort = self.functions.abort;
        let ended = within(GIVING_UP, "ncclCommAbort", move || {
            let Connected(handle) = { connected };
            // SAFETY: it was taken from the communicator, and is not used again.
            unsafe { abort(handle) }
        });
        self.stuck.store(ended.is_err(), Ordering::Relaxed);
    }
}

/// What a call gives that may never return. Then its thread stays behind.
fn within<T: Send + 'static>(
    patience: Duration,
    call: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (sender, ended) = channel();
    thread::spawn(move || sender.send(body()));
    ended.recv_timeout(patience).map_err(|why| match why {
        RecvTimeoutError::Timeout => format!("{call} did not end within {patience:?}"),
        RecvTimeoutError::Disconnected => format!("{call} panicked"),
    })
}

impl std::fmt::Debug for Communicator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Communicator").field("device", &self.device).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "nccl_tests.rs"]
mod tests;
