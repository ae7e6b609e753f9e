//! What libtorch refuses, memory above all, as an ordinary error.
//!
//! tch's operators panic where libtorch throws. That is no defect of the program as other panics are: what was asked
//! for does not fit the machine, and the person who asked is told so without a trace of calls.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook, take_hook};

use tokensieve_model::Error;

/// What helps where memory runs out.
const SMALLER: &str = "what takes less: training with a smaller train.micro_tokens or lora.r, with \
                       train.checkpointing = true, or with model.dtype = \"bf16\"; generating and evaluating with a smaller --batch";

/// Does something; what libtorch refuses meanwhile is an error. Other panics go on.
pub(super) fn as_error<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let report = take_hook();
    set_hook(Box::new(move |panic| {
        if refusal(panic.payload()).is_none() {
            report(panic);
        }
    }));
    // Nothing that the work changed is looked at again.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| match refusal(&*panic) {
        Some(what) => Err(Error::Run(what).into()),
        None => resume_unwind(panic),
    })
}

/// What libtorch said, if the panic is tch's or the shim's.
fn refusal(panic: &(dyn Any + Send)) -> Option<String> {
    let text = panic.downcast_ref::<String>()?;
    let said = text.strip_prefix("libtorch: ").or_else(|| Some(text.split_once(": Torch(\"")?.1))?;
    // Further lines, escaped by tch, are libtorch's calls.
    let said = said.split("\\n").next().unwrap_or(said).lines().next().unwrap_or(said).trim();
    let memory = ["can't allocate memory", "out of memory"].iter().any(|words| said.contains(words));
    Some(if memory {
        format!("memory ran out ({said}); {SMALLER}")
    } else {
        format!("libtorch refuses: {said}")
    })
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn what_libtorch_refuses_is_an_error() {
        let said = |work: fn() -> Tensor| {
            let error = as_error(|| Ok(work())).unwrap_err().to_string();
            assert!(!error.contains("frame #") && !error.contains('\n'), "{error}");
            error
        };
        // Most of the addresses that there are.
        let error = said(|| Tensor::zeros([1 << 60], (Kind::Uint8, Device::Cpu)));
        assert!(error.contains("memory ran out") && error.contains("train.micro_tokens"), "{error}");
        let error = said(|| Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)).view([4]));
        assert!(error.contains("libtorch refuses: shape '[4]' is invalid"), "{error}");
        // As CUDA's and the shim's come.
        let cuda = "libtorch: CUDA out of memory. Tried to allocate 2.00 GiB.\nframe #0".to_owned();
        assert!(
            refusal(&cuda)
                .unwrap()
                .starts_with("memory ran out (CUDA out of memory. Tried to allocate 2.00 GiB.)")
        );
    }

    #[test]
    fn other_panics_go_on() {
        assert!(refusal(&"index out of bounds").is_none());
        assert!(refusal(&"called `Result::unwrap()` on an `Err` value: Io(…)".to_owned()).is_none());
        assert!(catch_unwind(|| as_error(|| -> anyhow::Result<()> { panic!("a defect") })).is_err());
    }
}
