//! RMS norm, forward and backward.

use tch::{Device, Kind, Tensor};

use crate::Parameters;
use crate::Result;
use crate::config::Config;
use crate::weights::Checkpoint;
use tokensieve_kernels as kernels;

#[derive(Debug)]
pub(crate) struct Norm {
    pub(crate) name: String,
    /// f32; Gemma's 1 is added already.
    pub(crate) weight: Tensor,
    /// What was added to the checkpoint's values: 1 for Gemma, else 0.
    pub(crate) added: f64,
    eps: f64,
}

impl Norm {
    pub(crate) fn load(checkpoint: &Checkpoint, name: &str, width: i64, device: Device) -> Result<Self> {
        let Config { norm_plus_one, norm_eps, .. } = *checkpoint.config();
        let added = f64::from(u8::from(norm_plus_one));
        let weight = checkpoint.tensor_of(name, &[width], Kind::Float, device)? + added;
        Ok(Self { name: name.to_owned(), weight, added, eps: norm_eps })
    }

    /// Epsilon, added to the mean square.
    pub(crate) fn eps(&self) -> f64 {
        self.eps
    }

    /// The normalised rows, and 1/rms of each.
    pub(crate) fn forward(&self, x: &Tensor) -> (Tensor, Tensor) {
        let out = x.empty_like();
        let inv_rms = self.forward_into(x, &out);
        (out, inv_rms)
    }

    /// Writes the normalised rows into `out` (which may be `x`); returns 1/rms.
    pub(crate) fn forward_into(&self, x: &Tensor, out: &Tensor) -> Tensor {
        kernels::rms_norm(x, &self.weight, self.eps, out)
    }

    /// The gradient with respect to x, plus `around`, the gradient of the residual connection around the norm. Adds the
    /// weight's gradient to `into` if it is trained.
    pub(crate) fn backward(
        &self,
        dy: &Tensor,
        x: &Tensor,
        inv_rms: &Tensor,
        around: Option<&Tensor>,
        into: &Parameters,
    ) -> Tensor {
        kernels::rms_norm_backward(dy, x, &self.weight, inv_rms, around, into.gradient(&self.name).as_ref())
    }
}
