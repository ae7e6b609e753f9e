//! The last lines of a run.

use std::fmt;

use crate::checkpoint::State;
use crate::config::Config;
use crate::log::Totals;
use tokensieve_base::terminal::quoted;
use tokensieve_kernels::memory;

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

/// The end of a run, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Why it ended.
    pub ending: Ending,
    text: String,
}

impl Summary {
    pub(super) fn new(ending: Ending, config: &Config, state: &State, totals: Totals) -> Self {
        let (done, all, out) = (state.step, state.steps, config.train.out.display());
        let mut text = match ending {
            Ending::Complete => format!("all {all} steps done\n"),
            Ending::Converged => {
                format!("stopped after step {done} of {all}: early stopping found no progress\n")
            }
            Ending::Interrupted => format!("interrupted after step {done} of {all}\n"),
        };
        let Totals { steps, read, seconds, losses, nlls } = totals;
        if let Some([first, last]) = losses {
            let nll =
                nlls.map(|[first, last]| format!("   (nll {first:.4} → {last:.4})")).unwrap_or_default();
            text += &format!("loss        {first:.4} → {last:.4}{nll}\n");
            text +=
                &format!("speed       {:.0} tokens/s over {steps} steps\n", read as f64 / seconds.max(1e-9));
        }
        if let Some(best) = state.lowest.filter(|best| best.is_finite()) {
            text += &format!("best nll    {best:.4}, in {out}/best\n");
        }
        if let Some(peak) = memory::peak_bytes() {
            text += &format!("peak memory {:.2} GiB\n", memory::gib(peak));
        }
        if let Some(peak) = memory::peak_device_bytes(config.model.device) {
            text += &format!("on device   {:.2} GiB\n", memory::gib(peak));
        }
        text += &format!("curve       {out}/metrics.jsonl\n");
        let (model, precision) = (&config.model.source, config.model.precision);
        if ending == Ending::Interrupted {
            text += "continue    run the same command again";
        } else if config.lora.is_none() {
            text += &format!("model       {out}/model");
        } else {
            text += &format!("adapter     {out}/adapter\n");
            let [adapter, merged] = ["adapter", "merged"].map(|name| format!("{out}/{name}"));
            let [model, adapter, merged] = [model, &adapter, &merged].map(|word| quoted(word));
            // Of weights in four bits the adapter corrects these, not whole ones.
            text += &if precision.nf4 {
                let name = precision.name();
                format!("next        tokensieve chat --model {model} --adapter {adapter} --precision {name}")
            } else {
                format!("next        tokensieve merge {model} {adapter} {merged}")
            };
        }
        Self { ending, text }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
