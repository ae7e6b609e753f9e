//! Which implementation of the operations this process uses.

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
    /// Kernels in AVX-512 with its bf16 instructions.
    Avx512Bf16,
    /// libtorch's own operators on the CPU.
    Plain,
    /// libtorch's operators, flash attention and fused gates on a CUDA device.
    Cuda,
}

impl Backend {
    /// The CPU's back ends, the best first.
    pub const CPU: [Self; 2] = [Self::Avx512Bf16, Self::Plain];

    /// What the CPU computes with: what [`VARIABLE`] says, else the best that it supports; the same as long as the
    /// process lives.
    ///
    /// # Errors
    /// If the variable holds another word, or names a back end that this processor or build lacks.
    pub fn of_cpu() -> Result<Self, &'static str> {
        static CHOSEN: LazyLock<Result<Backend, String>> = LazyLock::new(|| {
            std::env::var_os(VARIABLE).map_or_else(
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

    /// Whether this processor and this build have it; CUDA is the device's matter.
    pub fn is_supported(self) -> bool {
        match self {
            Self::Avx512Bf16 => has_avx512_bf16(),
            Self::Plain => true,
            Self::Cuda => false,
        }
    }

    /// The kind of number that it computes fastest with.
    pub fn fastest_kind(self) -> Kind {
        match self {
            Self::Avx512Bf16 | Self::Cuda => Kind::BFloat16,
            Self::Plain => Kind::Float,
        }
    }

    /// Its name, as [`VARIABLE`] has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512Bf16 => "avx512-bf16",
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

#[cfg(all(feature = "simd", target_arch = "x86_64"))]
fn has_avx512_bf16() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bf16")
}

#[cfg(not(all(feature = "simd", target_arch = "x86_64")))]
fn has_avx512_bf16() -> bool {
    false
}

/// The environment variable that makes tests of a back end fail where they would be skipped.
pub const REQUIRED: &str = "TOKENSIEVE_REQUIRE_BACKEND";

/// For tests of one back end: whether this process computes with it. If not, the test is to end, and says so on the
/// terminal.
///
/// # Panics
/// If [`REQUIRED`] names the back end and this process computes with another.
pub fn runs_test_of(backend: Backend) -> bool {
    if Backend::of_cpu() == Ok(backend) {
        println!("back end: {backend}");
        return true;
    }
    let required = std::env::var(REQUIRED).is_ok_and(|required| required == backend.name());
    assert!(!required, "{REQUIRED} is {backend}, and this process computes with another back end");
    // Past the capture of tests' output.
    let thread = std::thread::current();
    let _ = writeln!(std::io::stderr(), "{}: skipped: needs {backend}", thread.name().unwrap_or("a test"));
    false
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
            pinned("avx2").unwrap_err(),
            "TOKENSIEVE_BACKEND is \"avx2\"; it should be avx512-bf16 or plain, or not set"
        );
        assert_eq!(pinned("plain"), Ok(Backend::Plain));
        if !Backend::Avx512Bf16.is_supported() {
            let refusal = pinned("avx512-bf16").unwrap_err();
            assert!(refusal.ends_with("it should be plain, or not set"), "{refusal}");
        }
    }

    #[test]
    fn the_back_end_is_the_pinned_or_the_best_supported_one() {
        let expected = std::env::var(VARIABLE).map_or_else(
            |_| if Backend::Avx512Bf16.is_supported() { Backend::Avx512Bf16 } else { Backend::Plain },
            |word| word.parse().unwrap(),
        );
        println!("back end: {expected}");
        assert_eq!(Backend::of_cpu(), Ok(expected));
    }
}
