//! Ways to train that figures compare.

/// The model that an objective compares with or distils from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// None.
    None,
    /// Plain maximum likelihood on the same data, from the same seed.
    Twin,
    /// Plain maximum likelihood on clean data held out from training.
    Clean,
}

/// A way to train: keys of the configuration beside data and sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// Its name in tables.
    pub name: String,
    pub(super) settings: Vec<(&'static str, toml::Value)>,
    pub(super) reference: Reference,
    /// Ranks that the adapter grows to, in equal parts of the run.
    pub(super) ranks: &'static [i64],
}

/// Criteria of figure 3.
pub const CRITERIA: [&str; 4] = ["entropy", "loss", "rho", "random"];
/// Granularities of figure 3.
pub const UNITS: [&str; 2] = ["token", "document"];

impl Arm {
    fn preset(name: &str, preset: &str, reference: Reference) -> Self {
        let settings = vec![("objective.preset", toml::Value::from(preset))];
        Self { name: name.into(), settings, reference, ranks: &[] }
    }

    fn with(mut self, key: &'static str, value: impl Into<toml::Value>) -> Self {
        self.settings.push((key, value.into()));
        self
    }

    pub(super) fn named(self, name: &str) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Plain maximum likelihood.
    pub fn mle() -> Self {
        Self::preset("mle", "mle", Reference::None)
    }

    /// Maximum likelihood on the top quarter by a criterion, of tokens or documents.
    pub fn selected(by: &str, unit: &str) -> Self {
        let name = format!("{by} {unit}");
        let arm = match by {
            "rho" => Self::preset(&name, "rho", Reference::Clean),
            "random" => Self::preset(&name, "random", Reference::None),
            _ => Self::preset(&name, "masked-mle", Reference::None).with("objective.select.by", by),
        };
        arm.with("objective.select.of", format!("{unit}s")).with("objective.select.keep", "top 25%")
    }

    /// The paper's masked MLE.
    pub fn masked() -> Self {
        Self::selected("loss", "token")
    }

    /// Distillation from the twin.
    pub fn distill() -> Self {
        Self::preset("distill", "distill", Reference::Twin)
    }

    /// The paper's own objective.
    pub fn both() -> Self {
        Self::preset("masked + distill", "masked-mle+distill", Reference::Twin)
    }

    /// Masked MLE on another share of the tokens.
    pub fn threshold(percent: u32) -> Self {
        if percent == 25 {
            return Self::masked();
        }
        Self::masked()
            .with("objective.select.keep", format!("top {percent}%"))
            .named(&format!("top {percent} %"))
    }

    /// Masked MLE whose share falls from all to a quarter as the loss does.
    pub fn adaptive() -> Self {
        Self::masked().with("objective.select.schedule", "adaptive").named("adaptive")
    }

    /// Masked MLE with a small adapter.
    pub fn small() -> Self {
        Self::masked().with("lora.r", 4).with("lora.lora_alpha", 8).named("rank 4")
    }

    /// Masked MLE whose adapter grows.
    pub fn growing() -> Self {
        Self { ranks: &[4, 8, 16, 32], ..Self::masked().named("rank 4 to 32") }
    }

    /// Masked MLE whose share grows.
    pub fn widening() -> Self {
        Self::masked()
            .with("objective.select.schedule", "ramp")
            .with("objective.select.from", "top 10%")
            .with("objective.select.keep", "top 75%")
            .named("share 10 to 75 %")
    }

    /// Adapter and share grow together.
    pub fn growing_and_widening() -> Self {
        Self { ranks: &[4, 8, 16, 32], ..Self::widening().named("rank and share grow") }
    }

    /// An explicit curriculum: tokens ranked by the twin's loss, from those that it has learnt to those that it has not.
    pub fn explicit() -> Self {
        Self::ranked_by_twin("25%..50%", "top 25%").named("explicit")
    }

    /// The explicit curriculum backwards.
    pub fn reversed() -> Self {
        Self::ranked_by_twin("top 25%", "25%..50%").named("explicit, reversed")
    }

    fn ranked_by_twin(from: &str, to: &str) -> Self {
        Self { reference: Reference::Twin, ..Self::masked() }
            .with("objective.against", "mle")
            .with("objective.select.by", "reference_loss")
            .with("objective.select.schedule", "ramp")
            .with("objective.select.from", from)
            .with("objective.select.keep", to)
    }
}
