//! Turns exceptions of libtorch into ordinary errors.
//!
//! tch's operators panic where libtorch throws an exception, mostly because memory ran out. This is not a bug of the
//! program, so that the user gets an error message instead of a backtrace.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook, take_hook};

use tokensieve_model::Error;

/// Advice for when memory ran out.
const SMALLER: &str = "to use less memory, train with a smaller train.micro_tokens or lora.r, with \
                       train.checkpointing = true, or with model.dtype = \"bf16\" or \"nf4\"; generate and evaluate with a smaller --batch";

/// Runs `work`. A panic caused by libtorch becomes an error; other panics continue.
pub(super) fn as_errors<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let report = take_hook();
    set_hook(Box::new(move |panic| {
        if libtorch_message(panic.payload()).is_none() {
            report(panic);
        }
    }));
    caught(work)
}

/// The same for a part of the work, from which something follows if it fails.
pub(super) fn caught<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    // Nothing that `work` has changed is used afterwards.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| match libtorch_message(&*panic) {
        Some(what) => Err(Error::Run(what).into()),
        None => resume_unwind(panic),
    })
}

/// The message of libtorch, if the panic comes from tch or the shim.
fn libtorch_message(panic: &(dyn Any + Send)) -> Option<String> {
    let text = panic.downcast_ref::<String>()?;
    let message = text.strip_prefix("libtorch: ").or_else(|| Some(text.split_once(": Torch(\"")?.1))?;
    // Further lines, escaped by tch, are libtorch's backtrace.
    let message = message.split("\\n").next().unwrap_or(message).lines().next().unwrap_or(message).trim();
    let memory = ["can't allocate memory", "out of memory"].iter().any(|words| message.contains(words));
    Some(if memory {
        format!("memory ran out ({message}); {SMALLER}")
    } else {
        format!("libtorch reports: {message}")
    })
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn exceptions_of_libtorch_are_errors() {
        let error_of = |work: fn() -> Tensor| {
            let error = as_errors(|| Ok(work())).unwrap_err().to_string();
            assert!(!error.contains("frame #") && !error.contains('\n'), "{error}");
            error
        };
        // Most of the addresses that there are.
        let error = error_of(|| Tensor::zeros([1 << 60], (Kind::Uint8, Device::Cpu)));
        assert!(error.contains("memory ran out") && error.contains("train.micro_tokens"), "{error}");
        let error = error_of(|| Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)).view([4]));
        assert!(error.contains("libtorch reports: shape '[4]' is invalid"), "{error}");
        // As CUDA's and the shim's come.
        let cuda = "libtorch: CUDA out of memory. Tried to allocate 2.00 GiB.\nframe #0".to_owned();
        assert!(
            libtorch_message(&cuda)
                .unwrap()
                .starts_with("memory ran out (CUDA out of memory. Tried to allocate 2.00 GiB.)")
        );
    }

    #[test]
    fn other_panics_continue() {
        assert!(libtorch_message(&"index out of bounds").is_none());
        assert!(libtorch_message(&"called `Result::unwrap()` on an `Err` value: Io(…)".to_owned()).is_none());
        assert!(catch_unwind(|| as_errors(|| -> anyhow::Result<()> { panic!("a defect") })).is_err());
    }
}
