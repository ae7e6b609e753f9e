//! The data type of the computation, as the command line and files name it.

use tch::Kind;

/// `f32` or `bf16`.
pub fn precision_name(kind: Kind) -> &'static str {
    if kind == Kind::Float { "f32" } else { "bf16" }
}
