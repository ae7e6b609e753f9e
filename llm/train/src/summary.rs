//! The last lines of a run.

use std::fmt;
use std::path::PathBuf;

use crate::checkpoint::State;
use crate::config::Config;
use crate::log::Totals;
use tokensieve_kernels::memory;
use tokensieve_model::Precision;

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All steps are done.
    Complete,
    /// The held-out set that early stopping watches no longer improved.
    Converged,
    /// It was asked to stop; it can be continued.
    Interrupted,
}

/// The end of a run, in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Why it ended.
    pub ending: Ending,
    /// Steps done, of how many.
    pub steps: [u64; 2],
    /// Sums over this process' steps.
    pub totals: Totals,
    /// Peak memory.
    pub peak_bytes: Option<u64>,
    /// Peak memory on the device; `None` on the CPU.
    pub peak_device_bytes: Option<u64>,
    /// Folder of the results.
    pub out: PathBuf,
    /// Whether an adapter was trained.
    pub adapter: bool,
    /// Best NLL for early stopping.
    pub best: Option<f64>,
    /// The base model.
    pub model: String,
    /// How it is held.
    pub precision: Precision,
}

impl Summary {
    pub(super) fn new(ending: Ending, config: &Config, state: &State, totals: Totals) -> Self {
        Self {
            ending,
            steps: [state.step, state.steps],
            totals,
            peak_bytes: memory::peak_bytes(),
            peak_device_bytes: memory::peak_device_bytes(config.model.device),
            out: config.train.out.clone(),
            adapter: config.lora.is_some(),
            best: state.progress.map(|(best, _)| best),
            model: config.model.source.clone(),
            precision: config.model.precision,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [done, all] = self.steps;
        let out = self.out.display();
        match self.ending {
            Ending::Complete => writeln!(f, "all {all} steps done")?,
            Ending::Converged => {
                writeln!(f, "stopped after step {done} of {all}: early stopping found no progress")?;
            }
            Ending::Interrupted => writeln!(f, "interrupted after step {done} of {all}")?,
        }
        let Totals { steps, read, seconds, losses, nlls } = self.totals;
        if let (Some([first, last]), Some([nll_first, nll_last])) = (losses, nlls) {
            writeln!(f, "loss        {first:.4} → {last:.4}   (nll {nll_first:.4} → {nll_last:.4})")?;
            writeln!(f, "speed       {:.0} tokens/s over {steps} steps", read as f64 / seconds.max(1e-9))?;
        }
        if let Some(best) = self.best.filter(|best| best.is_finite()) {
            writeln!(f, "best nll    {best:.4}, in {out}/best")?;
        }
        if let Some(peak) = self.peak_bytes {
            writeln!(f, "peak memory {:.2} GiB", memory::gib(peak))?;
        }
        if let Some(peak) = self.peak_device_bytes {
            writeln!(f, "on device   {:.2} GiB", memory::gib(peak))?;
        }
        writeln!(f, "curve       {out}/metrics.jsonl")?;
        match (self.ending, self.adapter) {
            (Ending::Interrupted, _) => write!(f, "continue    run the same command again"),
            (_, true) => {
                writeln!(f, "adapter     {out}/adapter")?;
                match self.precision {
                    // The adapter corrects these weights, not whole ones.
                    Precision { nf4: true, .. } => write!(
                        f,
                        "next        tokensieve chat --model {} --adapter {out}/adapter --precision {}",
                        self.model,
                        self.precision.name()
                    ),
                    _ => write!(f, "next        tokensieve merge {} {out}/adapter {out}/merged", self.model),
                }
            }
            (_, false) => write!(f, "model       {out}/model"),
        }
    }
}
