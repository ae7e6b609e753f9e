//! Names of what a run writes into the folder of its results.

/// Folder of the checkpoints.
pub(crate) const CHECKPOINTS: &str = "checkpoints";

/// The optimizer's state in a checkpoint.
pub(crate) const OPTIMIZER: &str = "optimizer.safetensors";

/// Folder of the result that early stopping found best.
pub(crate) const BEST: &str = "best";

/// The derived configuration, in the folder of the results and in every checkpoint.
pub(crate) const CONFIG: &str = "config.toml";

/// What a run was made from: versions, hashes, the command.
pub(crate) const PROVENANCE: &str = "run.json";

/// Folder of what was trained until a step that `train.save_at` names.
pub(crate) fn after(step: u64) -> String {
    format!("step-{step}")
}

/// Folder of what was trained: all weights (`full`), or an adapter.
pub(crate) fn result(full: bool) -> &'static str {
    if full { "model" } else { "adapter" }
}
