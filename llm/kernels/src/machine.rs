//! What libtorch offers on this machine, asked and measured.

use std::ffi::CString;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tch::{Cuda, Device, Kind, Tensor, no_grad};

use crate::backend::{Backend, kind_name};
use crate::cuda;
use crate::library;

/// The version of torch that tch 0.24 is made for; `build.rs` refuses another.
pub const TORCH_VERSION: &str = "2.11.0";

/// Rows and columns of the matrices multiplied: large enough that the caches are used as in training, small enough
/// for a few milliseconds on two cores (choice).
const SIZE: i64 = 2048;

/// The same on a GPU, which needs more to be busy (choice).
const CUDA_SIZE: i64 = 8192;

/// Elements of the f32 tensor that is read and copied: 256 MiB, more than any cache (choice).
const MEMORY: i64 = 1 << 26;

/// The same on a GPU, where launching the operator takes as long as some tens of MiB: 2 GiB (choice).
const CUDA_MEMORY: i64 = 1 << 29;

/// Time spent on measuring one kind of number (choice).
const PATIENCE: Duration = Duration::from_millis(600);

/// What `doctor` prints.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// The device that training would use.
    pub device: Device,
    /// What computes on it.
    pub backend: Backend,
    /// Version of the libtorch that is loaded, where its folder says.
    pub torch: Option<String>,
    /// Folder of that libtorch.
    pub library: Option<PathBuf>,
    /// Its CUDA half.
    pub cuda: CudaLibrary,
    /// CUDA devices that libtorch sees.
    pub cuda_devices: i64,
    /// What our kernels are compiled for on the GPU that training would use, or why they are not.
    pub kernels: Option<Result<String, String>>,
    /// Names of the GPUs, as the driver says.
    pub gpus: Vec<String>,
    /// Threads that one operator uses.
    pub threads: i32,
    /// Measured speed of a square matrix product in f32, in 10⁹ operations a second.
    pub f32_gflops: f64,
    /// The same in bf16.
    pub bf16_gflops: f64,
    /// Measured speed of reading memory, in 10⁹ bytes a second.
    pub read_gbs: f64,
    /// Measured speed of copying it, in 10⁹ bytes (each counted where it is read and where it is written) a second.
    pub copy_gbs: f64,
}

/// libtorch's CUDA half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CudaLibrary {
    /// There is none beside the CPU half.
    Missing,
    /// It is loaded.
    Opened,
    /// It is there and does not load, for this reason.
    Refused(String),
}

impl Machine {
    /// Asks libtorch and measures for about three seconds.
    pub fn measure() -> Self {
        let device = device();
        let (size, memory) = if device.is_cuda() { (CUDA_SIZE, CUDA_MEMORY) } else { (SIZE, MEMORY) };
        let library = library::folder();
        Self {
            device,
            backend: Backend::of(device),
            torch: library.as_deref().and_then(library::version),
            library,
            cuda: open_cuda().clone(),
            cuda_devices: Cuda::device_count(),
            kernels: match device {
                Device::Cuda(index) => Some(cuda::compiled(index)),
                _ => None,
            },
            gpus: gpus(),
            threads: tch::get_num_threads(),
            f32_gflops: matmul_gflops(device, Kind::Float, size),
            bf16_gflops: matmul_gflops(device, Kind::BFloat16, size),
            read_gbs: read_gbs(device, memory),
            copy_gbs: copy_gbs(device, memory),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place =
            self.library.as_ref().map_or_else(String::new, |folder| format!(" in {}", folder.display()));
        writeln!(f, "{:22} {}", "tokensieve", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "{:22} {}{place}", "torch", self.torch.as_deref().unwrap_or("of unknown version"))?;
        let cuda = match &self.cuda {
            CudaLibrary::Missing => "no CUDA in this libtorch".to_owned(),
            CudaLibrary::Opened => "opened".to_owned(),
            CudaLibrary::Refused(why) => format!("does not load: {why}"),
        };
        writeln!(f, "{:22} {cuda}", "CUDA library")?;
        writeln!(f, "{:22} {:?} ({} CUDA devices)", "device", self.device, self.cuda_devices)?;
        let kind = kind_name(self.backend.fastest_kind());
        writeln!(f, "{:22} {} (auto computes in {kind})", "back end", self.backend)?;
        for gpu in &self.gpus {
            writeln!(f, "{:22} {gpu}", "GPU")?;
        }
        match &self.kernels {
            Some(Ok(architecture)) => writeln!(f, "{:22} compiled for {architecture}", "kernels")?,
            Some(Err(why)) => writeln!(f, "{:22} libtorch's operators: {why}", "kernels")?,
            None => {}
        }
        writeln!(f, "{:22} {}", "threads per operator", self.threads)?;
        writeln!(f, "{:22} {:.0} GFLOP/s", "f32 matmul", self.f32_gflops)?;
        writeln!(f, "{:22} {:.0} GFLOP/s", "bf16 matmul", self.bf16_gflops)?;
        writeln!(f, "{:22} {:.0} GB/s", "memory, read", self.read_gbs)?;
        write!(f, "{:22} {:.0} GB/s", "memory, copied", self.copy_gbs)
    }
}

/// Of several processes on this machine, which one this is, and how many there are.
static TURN: AtomicUsize = AtomicUsize::new(0);
static TURNS: AtomicUsize = AtomicUsize::new(1);

/// From now on [`device`] is another one in each of so many processes on this machine, as far as there are so many.
pub fn take_turns(process: usize, processes: usize) {
    TURN.store(process, Ordering::Relaxed);
    TURNS.store(processes, Ordering::Relaxed);
}

/// How many of the processes on this machine have this one's device at most.
pub fn sharers() -> usize {
    let devices = usize::try_from(Cuda::device_count()).unwrap_or(0);
    TURNS.load(Ordering::Relaxed).div_ceil(devices.max(1)).max(1)
}

/// This process' CUDA device, the first unless processes take turns; where there is none, the CPU.
pub fn device() -> Device {
    open_cuda();
    let devices = usize::try_from(Cuda::device_count()).unwrap_or(0);
    match Device::cuda_if_available() {
        Device::Cuda(_) => Device::Cuda(TURN.load(Ordering::Relaxed) % devices.max(1)),
        other => other,
    }
}

/// Opens `libtorch_cuda.so` where it lies beside `libtorch_cpu.so`, which registers CUDA: the program is linked with the
/// CPU half only, and so runs where there is nothing else. To be called before the first tensor is made.
pub fn open_cuda() -> &'static CudaLibrary {
    static OUTCOME: OnceLock<CudaLibrary> = OnceLock::new();
    OUTCOME.get_or_init(|| {
        let path =
            library::folder().map(|folder| folder.join("libtorch_cuda.so")).filter(|path| path.is_file());
        let Some(path) = path.and_then(|path| CString::new(path.as_os_str().as_bytes()).ok()) else {
            return CudaLibrary::Missing;
        };
        library::open(&path).map_or_else(CudaLibrary::Refused, |_| CudaLibrary::Opened)
    })
}

/// As the kernel's driver lists them.
fn gpus() -> Vec<String> {
    let entries = fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let text = fs::read_to_string(entry.path().join("information")).ok()?;
            text.lines().find_map(|line| line.strip_prefix("Model:")).map(|name| name.trim().to_owned())
        })
        .collect();
    names.sort();
    names
}

fn matmul_gflops(device: Device, kind: Kind, size: i64) -> f64 {
    no_grad(|| {
        let matrix = || Tensor::randn([size, size], (Kind::Float, device)).to_kind(kind);
        let (a, b) = (matrix(), matrix());
        2.0 * (size as f64).powi(3) / best_seconds(|| a.matmul(&b)) / 1e9
    })
}

fn read_gbs(device: Device, elements: i64) -> f64 {
    let from = Tensor::zeros([elements], (Kind::Float, device));
    4.0 * elements as f64 / best_seconds(|| from.sum(Kind::Float)) / 1e9
}

fn copy_gbs(device: Device, elements: i64) -> f64 {
    let from = Tensor::zeros([elements], (Kind::Float, device));
    let mut to = from.zeros_like();
    let seconds = best_seconds(|| {
        to.copy_(&from);
        to.narrow(0, 0, 1)
    });
    2.0 * 4.0 * elements as f64 / seconds / 1e9
}

/// The fastest of the runs that fit into [`PATIENCE`]: other work on the machine only ever slows one down.
fn best_seconds(mut run: impl FnMut() -> Tensor) -> f64 {
    let mut once = || {
        let start = Instant::now();
        // Reading one number waits for the device.
        let _ = run().reshape([-1]).double_value(&[0]);
        start.elapsed().as_secs_f64()
    };
    // The first one sets up the library's kernels.
    once();
    let start = Instant::now();
    let mut best = f64::INFINITY;
    while start.elapsed() < PATIENCE {
        best = best.min(once());
    }
    best
}
