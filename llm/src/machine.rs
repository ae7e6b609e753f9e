//! What libtorch offers on this machine, asked and measured.

use std::fmt;
use std::time::{Duration, Instant};

use tch::{Cuda, Device, Kind, Tensor, no_grad};

/// The version of torch that tch 0.24 is made for; `build.rs` refuses another.
pub const TORCH_VERSION: &str = "2.11.0";

/// Rows and columns of the matrices multiplied: large enough that the caches are used as in training, small enough
/// for a few milliseconds on two cores (choice).
const SIZE: i64 = 2048;

/// Time spent on measuring one kind of number (choice).
const PATIENCE: Duration = Duration::from_millis(600);

/// What `doctor` prints.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// The device that training would use.
    pub device: Device,
    /// CUDA devices that libtorch sees.
    pub cuda_devices: i64,
    /// Threads that one operator uses.
    pub threads: i32,
    /// Measured speed of a square matrix product in f32, in 10⁹ operations a second.
    pub f32_gflops: f64,
    /// The same in bf16.
    pub bf16_gflops: f64,
}

impl Machine {
    /// Asks libtorch and measures for about a second.
    pub fn measure() -> Self {
        let device = device();
        Self {
            device,
            cuda_devices: Cuda::device_count(),
            threads: tch::get_num_threads(),
            f32_gflops: matmul_gflops(device, Kind::Float),
            bf16_gflops: matmul_gflops(device, Kind::BFloat16),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:22} {TORCH_VERSION}", "torch")?;
        writeln!(f, "{:22} {:?} ({} CUDA devices)", "device", self.device, self.cuda_devices)?;
        writeln!(f, "{:22} {}", "threads per operator", self.threads)?;
        writeln!(f, "{:22} {:.0} GFLOP/s ({SIZE}×{SIZE})", "f32 matmul", self.f32_gflops)?;
        write!(f, "{:22} {:.0} GFLOP/s ({SIZE}×{SIZE})", "bf16 matmul", self.bf16_gflops)
    }
}

/// The first CUDA device, if there is one, else the CPU.
pub fn device() -> Device {
    Device::cuda_if_available()
}

/// The fastest of the products that fit into [`PATIENCE`]: other work on the machine only ever slows one down.
fn matmul_gflops(device: Device, kind: Kind) -> f64 {
    no_grad(|| {
        let a = Tensor::randn([SIZE, SIZE], (Kind::Float, device)).to_kind(kind);
        let b = Tensor::randn([SIZE, SIZE], (Kind::Float, device)).to_kind(kind);
        let product = || {
            let start = Instant::now();
            let c = a.matmul(&b);
            // Reading one number waits for the device.
            let _ = c.double_value(&[0, 0]);
            start.elapsed().as_secs_f64()
        };
        // The first one sets up the library's kernels.
        product();
        let start = Instant::now();
        let mut best = f64::INFINITY;
        while start.elapsed() < PATIENCE {
            best = best.min(product());
        }
        2.0 * (SIZE as f64).powi(3) / best / 1e9
    })
}
