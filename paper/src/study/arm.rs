//! Ways to train that figures compare.

use crate::named::named;

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

named! {
    /// What figure 3 selects by.
    pub enum Criterion {
        /// The entropy of the model's prediction.
        Entropy = "entropy",
        /// The model's loss.
        Loss = "loss",
        /// The loss above that of a model trained on clean data.
        Rho = "rho",
        /// Nothing: the control.
        Random = "random",
    }
}

named! {
    /// What figure 3 selects.
    pub enum Granularity {
        /// Tokens.
        Token = "token",
        /// Whole documents.
        Document = "document",
    }
}

named! {
    /// A way to train.
    pub enum Arm {
        /// Plain maximum likelihood.
        Mle = "mle",
        /// Maximum likelihood on the quarter of the tokens with the largest entropy; and so on by criterion and granularity.
        EntropyTokens = "entropy token",
        /// Of the documents.
        EntropyDocuments = "entropy document",
        /// The paper's masked MLE: the quarter of the tokens with the largest loss.
        Masked = "loss token",
        /// Of the documents.
        LossDocuments = "loss document",
        /// The quarter with the largest loss above a clean model's.
        RhoTokens = "rho token",
        /// Of the documents.
        RhoDocuments = "rho document",
        /// A random quarter.
        RandomTokens = "random token",
        /// Of the documents.
        RandomDocuments = "random document",
        /// Distillation from the twin.
        Distill = "distill",
        /// The paper's own objective.
        MaskedDistill = "masked + distill",
        /// Masked MLE on another share of the tokens.
        Top10 = "top 10 %",
        /// A half.
        Top50 = "top 50 %",
        /// Three quarters.
        Top75 = "top 75 %",
        /// Masked MLE whose share falls from all to a quarter as the loss falls.
        Adaptive = "adaptive",
        /// Masked MLE with a small adapter.
        Rank4 = "rank 4",
        /// Masked MLE whose adapter grows.
        GrowingRank = "rank 4 to 32",
        /// Masked MLE whose share of tokens grows.
        GrowingShare = "share 10 to 75 %",
        /// Both grow together.
        GrowingBoth = "rank and share grow",
        /// An explicit curriculum: tokens ranked by the twin's loss, from those that it has learnt to those that it has not.
        Explicit = "explicit",
        /// The explicit curriculum backwards.
        Reversed = "explicit, reversed",
    }
}

/// The share that is trained on unless an arm is about another.
const QUARTER: &str = "top 25%";
/// The third quarter from the top: quantiles count from the smallest.
const THIRD_QUARTER: &str = "25%..50%";

impl Arm {
    /// Maximum likelihood on the top quarter by a criterion, of tokens or documents.
    pub fn selected(by: Criterion, of: Granularity) -> Self {
        match (by, of) {
            (Criterion::Entropy, Granularity::Token) => Self::EntropyTokens,
            (Criterion::Entropy, Granularity::Document) => Self::EntropyDocuments,
            (Criterion::Loss, Granularity::Token) => Self::Masked,
            (Criterion::Loss, Granularity::Document) => Self::LossDocuments,
            (Criterion::Rho, Granularity::Token) => Self::RhoTokens,
            (Criterion::Rho, Granularity::Document) => Self::RhoDocuments,
            (Criterion::Random, Granularity::Token) => Self::RandomTokens,
            (Criterion::Random, Granularity::Document) => Self::RandomDocuments,
        }
    }

    /// Criterion and granularity of an arm of figure 3.
    pub fn selection(self) -> Option<(Criterion, Granularity)> {
        let all = Criterion::ALL.iter().flat_map(|by| Granularity::ALL.iter().map(|of| (*by, *of)));
        all.into_iter().find(|(by, of)| Self::selected(*by, *of) == self)
    }

    /// What legends call it: the paper has a name of its own for training on the tokens with the largest loss.
    pub fn label(self) -> &'static str {
        if self == Self::Masked { "loss token (Masked MLE)" } else { self.name() }
    }

    /// Keys of the configuration, data and sizes left out.
    pub(super) fn settings(self) -> Settings {
        let masked = || selecting(Criterion::Loss, Granularity::Token);
        match self {
            Self::Mle => preset("mle"),
            Self::Distill => preset("distill"),
            Self::MaskedDistill => preset("masked-mle+distill"),
            Self::Top10 => masked().select("keep", "top 10%"),
            Self::Top50 => masked().select("keep", "top 50%"),
            Self::Top75 => masked().select("keep", "top 75%"),
            Self::Adaptive => masked().select("schedule", "adaptive"),
            Self::Rank4 => masked().set("lora.r", 4).set("lora.lora_alpha", 8),
            Self::GrowingShare | Self::GrowingBoth => masked().ramp("top 10%", "top 75%"),
            Self::Explicit => masked().by_the_twin().ramp(THIRD_QUARTER, QUARTER),
            Self::Reversed => masked().by_the_twin().ramp(QUARTER, THIRD_QUARTER),
            _ => self.selection().map_or_else(masked, |(by, of)| selecting(by, of)),
        }
    }

    /// The model that it compares with or distils from.
    pub(super) fn reference(self) -> Reference {
        match self {
            Self::RhoTokens | Self::RhoDocuments => Reference::Clean,
            Self::Distill | Self::MaskedDistill | Self::Explicit | Self::Reversed => Reference::Twin,
            _ => Reference::None,
        }
    }

    /// Ranks that the adapter grows to, in equal parts of the run.
    pub(super) fn ranks(self) -> &'static [i64] {
        if matches!(self, Self::GrowingRank | Self::GrowingBoth) { &[4, 8, 16, 32] } else { &[] }
    }
}

/// Keys of the configuration with their values; of a key that comes twice the last counts.
#[derive(Clone, Debug)]
pub(super) struct Settings(pub(super) Vec<(String, toml::Value)>);

fn preset(name: &str) -> Settings {
    Settings(Vec::new()).set("objective.preset", name)
}

fn selecting(by: Criterion, of: Granularity) -> Settings {
    let chosen = match by {
        Criterion::Rho | Criterion::Random => preset(by.name()),
        Criterion::Entropy | Criterion::Loss => preset("masked-mle").select("by", by.name()),
    };
    chosen.select("of", &format!("{of}s")).select("keep", QUARTER)
}

impl Settings {
    fn set(mut self, key: &str, value: impl Into<toml::Value>) -> Self {
        self.0.push((key.into(), value.into()));
        self
    }

    fn select(self, key: &str, value: &str) -> Self {
        self.set(&format!("objective.select.{key}"), value)
    }

    /// The selection moves over the run.
    fn ramp(self, from: &str, to: &str) -> Self {
        self.select("schedule", "ramp").select("from", from).select("keep", to)
    }

    /// Tokens are ranked by the loss of the model that plain training made.
    fn by_the_twin(self) -> Self {
        self.set("objective.against", "mle").select("by", "reference_loss")
    }
}
