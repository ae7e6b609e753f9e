//! Which implementation of the operations this process uses.
#![allow(unsafe_code)] // Asking the system for matrix instructions.

use std::fmt;
use std::io::Write;
use std::str::FromStr;
use std::sync::LazyLock;

use tch::{Device, Kind};

/// The environment variable that pins the CPU's back end.
pub const VARIABLE: &str = "TOKENSIEVE_BACKEND";

/// An implementation of the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The kernels in AVX-512, with matrix instructions (AMX) for products of bf16.
    Amx,
    /// Kernels in AVX-512 with its bf16 instructions.
    Avx512Bf16,
    /// The same kernels in AVX2 with FMA; bf16 is widened where it is multiplied.
    Avx2,
    /// The same kernels in NEON, likewise.
    Neon,
    /// libtorch's own operators on the CPU.
    Plain,
    /// libtorch's products and flash attention, and kernels of our own, on a CUDA device.
    Cuda,
}

impl Backend {
    /// The CPU's back ends, the best first.
    pub const CPU: [Self; 5] = [Self::Amx, Self::Avx512Bf16, Self::Avx2, Self::Neon, Self::Plain];

    /// What the CPU computes with: what [`VARIABLE`] says, else the best that it supports; the same as long as the
    /// process lives.
    ///
    /// # Errors
    /// If the variable holds another word, or names a back end that this processor or build lacks.
    pub fn of_cpu() -> Result<Self, &'static str> {
        static CHOSEN: LazyLock<Result<Backend, String>> = LazyLock::new(|| {
            std::env::var_os(VARIABLE).filter(|word| !word.is_empty()).map_or_else(
                || {
                    Ok(Backend::CPU
                        .into_iter()
                        .find(|backend| backend.is_supported())
                        .unwrap_or(Backend::Plain))
                },
                |word| pinned(&word.to_string_lossy()),
            )
        });
        CHOSEN.as_ref().copied().map_err(String::as_str)
    }

    /// What computes on a device; where the variable is wrong, no kernel.
    pub fn of(device: Device) -> Self {
        if device == Device::Cpu { Self::of_cpu().unwrap_or(Self::Plain) } else { Self::Cuda }
    }

    /// Whether its operations are this crate's kernels.
    pub fn has_kernels(self) -> bool {
        matches!(self, Self::Amx | Self::Avx512Bf16 | Self::Avx2 | Self::Neon)
    }

    /// Whether it computes with all instructions of another, and maybe more.
    pub fn includes(self, other: Self) -> bool {
        self == other || (self, other) == (Self::Amx, Self::Avx512Bf16)
    }

    /// Whether this processor and this build have it; CUDA is the device's matter.
    pub fn is_supported(self) -> bool {
        match self {
            Self::Amx => has_avx512_bf16() && may_use_amx(),
            Self::Avx512Bf16 => has_avx512_bf16(),
            Self::Avx2 => has_avx2(),
            Self::Neon => cfg!(target_arch = "aarch64"),
            Self::Plain => true,
            Self::Cuda => false,
        }
    }

    /// The kind of number that it computes fastest with.
    pub fn fastest_kind(self) -> Kind {
        match self {
            Self::Amx | Self::Avx512Bf16 | Self::Cuda => Kind::BFloat16,
            Self::Avx2 | Self::Neon | Self::Plain => Kind::Float,
        }
    }

    /// Its name, as [`VARIABLE`] has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amx => "amx",
            Self::Avx512Bf16 => "avx512-bf16",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Plain => "plain",
            Self::Cuda => "cuda",
        }
    }
}

/// The word for a type of weights and activations, as settings and files have it.
pub fn kind_name(kind: Kind) -> &'static str {
    if kind == Kind::Float { "f32" } else { "bf16" }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::CPU.into_iter().find(|backend| backend.name() == word).ok_or_else(|| {
            format!("{VARIABLE} is {word:?}; it should be {}, or not set", names(Self::CPU.into_iter()))
        })
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx512_bf16() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bf16")
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// Whether the processor has matrix instructions for bf16, and the system lets this process use them, which it must be asked.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn may_use_amx() -> bool {
    /// Of leaf 7 in edx: AMX-BF16 and AMX-TILE.
    const BITS: u32 = 1 << 22 | 1 << 24;
    /// `ARCH_REQ_XCOMP_PERM`, for the registers that are matrices.
    const ASK: libc::c_long = 0x1023;
    const REGISTERS: libc::c_long = 18;
    static MAY: LazyLock<bool> = LazyLock::new(|| {
        // SAFETY: every x86-64 has the instruction.
        #[allow(unused_unsafe, reason = "it is a safe function since Rust 1.94")]
        let leaf = unsafe { std::arch::x86_64::__cpuid_count(7, 0) };
        leaf.edx & BITS == BITS
            // SAFETY: it allows this process a larger state of its registers, and changes nothing else.
            && unsafe { libc::syscall(libc::SYS_arch_prctl, ASK, REGISTERS) } == 0
    });
    *MAY
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn may_use_amx() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx512_bf16() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

/// The environment variable that makes tests of a back end fail where they would be skipped.
pub const REQUIRED: &str = "TOKENSIEVE_REQUIRE_BACKEND";

/// For tests of one back end: whether this process computes with it, or with one that includes it. If not, the test is to
/// end, and says so on the terminal.
///
/// # Panics
/// If [`REQUIRED`] names the back end and this process computes without it.
pub fn runs_test_of(backend: Backend) -> bool {
    if let Ok(own) = Backend::of_cpu()
        && own.includes(backend)
    {
        println!("back end: {own}");
        return true;
    }
    let required = std::env::var(REQUIRED).is_ok_and(|required| required == backend.name());
    assert!(!required, "{REQUIRED} is {backend}, and this process computes with another back end");
    skipped(backend.name());
    false
}

/// The same for tests of the kernels, whatever their instructions.
///
/// # Panics
/// If [`REQUIRED`] names a back end that this process computes without.
pub fn runs_tests_of_kernels() -> bool {
    if let Ok(required) = std::env::var(REQUIRED) {
        let own = Backend::of_cpu();
        let is_there = required.parse().is_ok_and(|required| own.is_ok_and(|own| own.includes(required)));
        assert!(is_there, "{REQUIRED} is {required}, and this process computes with {own:?}");
    }
    let found = Backend::of_cpu().is_ok_and(Backend::has_kernels);
    if !found {
        skipped("kernels");
    }
    found
}

/// Says that the running test is skipped.
pub(crate) fn skipped(needed: &str) {
    // Past the capture of tests' output.
    let thread = std::thread::current();
    let line = format!("skipped: {} (needs {needed})\n", thread.name().unwrap_or("a test"));
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn pinned(word: &str) -> Result<Backend, String> {
    let backend: Backend = word.parse()?;
    if backend.is_supported() {
        return Ok(backend);
    }
    let supported = names(Backend::CPU.into_iter().filter(|backend| backend.is_supported()));
    Err(format!(
        "{VARIABLE} is {word}, which this processor or build lacks; it should be {supported}, or not set"
    ))
}

fn names(of: impl Iterator<Item = Backend>) -> String {
    of.map(Backend::name).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_word_names_the_variable_and_the_right_ones() {
        assert_eq!(
            pinned("sse").unwrap_err(),
            "TOKENSIEVE_BACKEND is \"sse\"; it should be amx or avx512-bf16 or avx2 or neon or plain, or not set"
        );
        assert_eq!(pinned("plain"), Ok(Backend::Plain));
        if !Backend::Avx512Bf16.is_supported() {
            let refusal = pinned("avx512-bf16").unwrap_err();
            assert!(refusal.ends_with("plain, or not set"), "{refusal}");
        }
    }

    #[test]
    fn the_back_end_is_the_pinned_or_the_best_supported_one() {
        let expected = std::env::var(VARIABLE).map_or_else(
            |_| Backend::CPU.into_iter().find(|backend| backend.is_supported()).unwrap(),
            |word| word.parse().unwrap(),
        );
        println!("back end: {expected}");
        assert_eq!(Backend::of_cpu(), Ok(expected));
    }
}
