//! The data type of the computation, as the command line and files name it.

use tch::Kind;

/// Default data type of the computation.
pub const DEFAULT_PRECISION: Kind = Kind::BFloat16;

/// `f32` or `bf16`.
pub fn precision_name(kind: Kind) -> &'static str {
    if kind == Kind::Float { "f32" } else { "bf16" }
}
