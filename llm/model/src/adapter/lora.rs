//! Low-rank adapters: the settings, the choice of projections, and the matrices.

use indexmap::IndexMap;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use regex::Regex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use crate::Error;
use crate::Parameters;
use crate::Result;
use crate::config::Config;
use crate::modules::{self, Module};

/// The largest rank of an adapter: more than any model's width, where an adapter is no longer smaller than the weights
/// (choice).
pub const LARGEST_RANK: i64 = 65_536;

/// An adapter's settings, with PEFT's names and defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoraConfig {
    /// Rank.
    pub r: i64,
    /// The adapter's output is scaled by alpha / r.
    #[serde(rename = "lora_alpha")]
    pub alpha: f64,
    /// Rate of dropout at the adapter's inputs in training. Projections with the same input share a mask.
    #[serde(rename = "lora_dropout")]
    pub dropout: f64,
    /// The projections that get an adapter.
    pub target_modules: TargetModules,
    /// Scale by alpha / √r instead of alpha / r.
    pub use_rslora: bool,
    /// Ranks other than `r`, by the end of a module's name or a regular expression for it. The first match counts.
    pub rank_pattern: Pattern<i64>,
    /// Alphas other than `alpha`, likewise.
    pub alpha_pattern: Pattern<f64>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            r: 8,
            alpha: 8.0,
            dropout: 0.0,
            target_modules: TargetModules::default(),
            use_rslora: false,
            rank_pattern: Pattern::default(),
            alpha_pattern: Pattern::default(),
        }
    }
}

/// Which projections get an adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetModules {
    /// `all-linear`, or a regular expression that matches a whole name.
    Expression(String),
    /// Names, or ends of names.
    Names(Vec<String>),
}

impl Default for TargetModules {
    fn default() -> Self {
        Self::Expression(ALL.to_owned())
    }
}

/// PEFT's keyword for all projections (the output matrix is not one).
const ALL: &str = "all-linear";

/// Values by pattern, in the order written. The first pattern that matches counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern<T>(pub IndexMap<String, T>);

impl<T: Copy> Pattern<T> {
    /// The first value whose pattern matches the name.
    fn of(&self, name: &str, key: &str) -> Result<Option<T>> {
        for (pattern, value) in &self.0 {
            if at_end(pattern, key)?.is_match(name) {
                return Ok(Some(*value));
            }
        }
        Ok(None)
    }
}

impl<T> Pattern<T> {
    /// Checks that each pattern matches a module that has an adapter.
    fn check(&self, key: &str, slots: &[Slot]) -> Result<()> {
        for (pattern, _) in &self.0 {
            let expression = at_end(pattern, key)?;
            if !slots.iter().any(|slot| expression.is_match(&slot.module.name)) {
                let names = endings(slots.iter().map(|slot| &slot.module));
                let what =
                    format!("`{pattern}` matches no module with an adapter; their names end in {names}");
                return Err(Error::setting(key, what));
            }
        }
        Ok(())
    }
}

/// An expression for a whole name or for its end after a dot (PEFT's rule).
fn at_end(pattern: &str, key: &str) -> Result<Regex> {
    expression(&format!(r"^(.*\.)?({pattern})$"), key)
}

/// The distinct last parts of modules' names, for error messages.
fn endings<'a>(modules: impl Iterator<Item = &'a Module>) -> String {
    let mut last: Vec<&str> = modules.filter_map(|module| module.name.rsplit('.').next()).collect();
    last.sort_unstable();
    last.dedup();
    last.join(", ")
}

fn expression(pattern: &str, key: &str) -> Result<Regex> {
    Regex::new(pattern)
        .map_err(|error| Error::setting(key, format!("not a valid regular expression: {error}")))
}

const TARGETS: &str = "lora.target_modules";

fn no_module(name: &str, modules: &[Module]) -> Error {
    Error::setting(
        TARGETS,
        format!("there is no module `{name}`; the modules are {}", endings(modules.iter())),
    )
}

/// Whether `name` is a module's name or the end of it.
fn is_called(module: &Module, name: &str) -> bool {
    module.name.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

impl TargetModules {
    /// The modules that are named or match.
    fn choose(&self, modules: Vec<Module>) -> Result<Vec<Module>> {
        let key = TARGETS;
        let known = || endings(modules.iter());
        match self {
            Self::Expression(text) if text.eq_ignore_ascii_case(ALL) => Ok(modules),
            Self::Expression(text) => {
                let expression = expression(&format!("^(?:{text})$"), key)?;
                if !modules.iter().any(|module| expression.is_match(&module.name)) {
                    let what = format!(
                        "`{text}` matches no module: a string is a regular expression for the whole name, such as \
                         `.*{text}`; write names as a list, [\"{text}\"]; the modules' names end in {}",
                        known()
                    );
                    return Err(Error::setting(key, what));
                }
                Ok(modules.into_iter().filter(|module| expression.is_match(&module.name)).collect())
            }
            Self::Names(names) => {
                let Some(first) = names.first() else {
                    return Err(Error::setting(key, format!("names no module; the modules are {}", known())));
                };
                let one_of_them = |module: &Module| names.iter().any(|name| is_called(module, name));
                if !modules.iter().any(one_of_them) {
                    return Err(no_module(first, &modules));
                }
                Ok(modules.into_iter().filter(one_of_them).collect())
            }
        }
    }

    /// Checks that each name is a module's. PEFT requires that of one name only, so adapters that are read are not
    /// checked.
    fn check(&self, modules: &[Module]) -> Result<()> {
        let Self::Names(names) = self else { return Ok(()) };
        let unknown = |name: &&String| !modules.iter().any(|module| is_called(module, name));
        names.iter().find(unknown).map_or(Ok(()), |name| Err(no_module(name, modules)))
    }
}

/// An adapter: its f32 matrices, under PEFT's names.
#[derive(Debug)]
pub struct Adapter {
    /// Its settings.
    pub config: LoraConfig,
    /// A `[r, I]` and B `[O, r]` of each projection, with their gradients.
    pub parameters: Parameters,
    /// The adapted projections, with rank and scale.
    slots: Vec<Slot>,
}

/// An adapted projection.
#[derive(Clone, Debug, PartialEq)]
struct Slot {
    module: Module,
    rank: i64,
    scale: f64,
}

impl LoraConfig {
    fn slots(&self, config: &Config) -> Result<Vec<Slot>> {
        if !(0.0..1.0).contains(&self.dropout) {
            let what = format!("is {}; it must be at least 0 and below 1", self.dropout);
            return Err(Error::setting("lora.lora_dropout", what));
        }
        let slot = |module: Module| {
            let rank = self.rank_pattern.of(&module.name, "lora.rank_pattern")?.unwrap_or(self.r);
            let alpha = self.alpha_pattern.of(&module.name, "lora.alpha_pattern")?.unwrap_or(self.alpha);
            if !(1..=LARGEST_RANK).contains(&rank) {
                let what = format!("is {rank} for {}; it must be from 1 to {LARGEST_RANK}", module.name);
                return Err(Error::setting("lora.r", what));
            }
            let scale = alpha / if self.use_rslora { (rank as f64).sqrt() } else { rank as f64 };
            Ok(Slot { module, rank, scale })
        };
        self.target_modules.choose(modules::all(config))?.into_iter().map(slot).collect()
    }
}

impl Adapter {
    /// A new adapter, with A random and B zero, so that the model's function does not change. Each matrix has its own
    /// random stream, derived from the seed and its name. Settings that match no module are errors.
    pub fn new(config: &Config, lora: &LoraConfig, seed: u64, device: Device) -> Result<Self> {
        let adapter = Self::zeros(config, lora, device)?;
        lora.target_modules.check(&modules::all(config))?;
        lora.rank_pattern.check("lora.rank_pattern", &adapter.slots)?;
        lora.alpha_pattern.check("lora.alpha_pattern", &adapter.slots)?;
        for Slot { module, .. } in &adapter.slots {
            let [a, _] = Self::names(&module.name);
            let mut value = adapter.value(&a);
            value.copy_(&random_a(&a, seed, &value.size()));
        }
        Ok(adapter)
    }

    pub(crate) fn zeros(config: &Config, lora: &LoraConfig, device: Device) -> Result<Self> {
        let slots = lora.slots(config)?;
        let shapes = slots.iter().flat_map(|Slot { module, rank, .. }| {
            let [a, b] = Self::names(&module.name);
            [(a, vec![*rank, module.inputs]), (b, vec![module.outputs, *rank])]
        });
        let parameters = Parameters::zeros(shapes, device);
        Ok(Self { config: lora.clone(), parameters, slots })
    }

    /// PEFT's names of a projection's matrices A and B.
    pub(crate) fn names(module: &str) -> [String; 2] {
        ["A", "B"].map(|which| format!("base_model.model.{module}.lora_{which}.weight"))
    }

    /// One of the adapter's matrices, by name.
    pub(crate) fn value(&self, name: &str) -> Tensor {
        self.parameters.value(name).expect("named by its own slots")
    }

    /// Rank and scale of the adapter on a projection, if it has one.
    pub(crate) fn rank_and_scale(&self, module: &str) -> Option<(i64, f64)> {
        let slot = self.slots.iter().find(|slot| slot.module.name == module)?;
        Some((slot.rank, slot.scale))
    }

    /// Checks that the adapter fits a model of this configuration.
    pub(crate) fn fits(&self, config: &Config) -> Result<()> {
        let all = modules::all(config);
        let mut rest = all.iter();
        // The adapter's modules are a subsequence of the model's.
        let Some(strange) = self.slots.iter().find(|slot| !rest.any(|module| *module == slot.module)) else {
            return Ok(());
        };
        let Module { name, outputs, inputs, .. } = &strange.module;
        Err(Error::Run(format!(
            "the adapter's module {name} of {outputs} × {inputs} is not one of the model's"
        )))
    }

    /// An adapter of a larger rank that computes the same function: new rows of A are random, new columns of B zero.
    /// Alpha grows with the rank, so that the scale stays. Modules with a rank of their own (`rank_pattern`) keep it.
    pub fn grow(&self, config: &Config, rank: i64, seed: u64) -> Result<Self> {
        if rank < self.config.r {
            let what = format!("an adapter of rank {} cannot grow to {rank}", self.config.r);
            return Err(Error::setting("lora.r", what));
        }
        let divisor = |rank: i64| if self.config.use_rslora { (rank as f64).sqrt() } else { rank as f64 };
        let mut lora = self.config.clone();
        lora.r = rank;
        lora.alpha *= divisor(rank) / divisor(self.config.r);
        // Where a pattern would change a module's scale, an alpha of its own goes before the patterns.
        let moved = lora
            .slots(config)?
            .into_iter()
            .zip(&self.slots)
            .filter(|(new, old)| new.scale.to_bits() != old.scale.to_bits());
        let mut alphas: IndexMap<_, _> = moved
            .map(|(new, old)| (regex::escape(&new.module.name), old.scale * divisor(new.rank)))
            .collect();
        // The new alphas replace those of an earlier growth.
        for (pattern, alpha) in lora.alpha_pattern.0 {
            alphas.entry(pattern).or_insert(alpha);
        }
        lora.alpha_pattern = Pattern(alphas);
        let grown = Self::new(config, &lora, seed, self.parameters.values().device())?;
        self.copy_into(&grown);
        Ok(grown)
    }

    /// Copies the matrices into the top left corners of a larger adapter's.
    fn copy_into(&self, grown: &Self) {
        for name in self.parameters.names() {
            let source = self.value(name);
            let [rows, columns] = source.size()[..] else { unreachable!("a matrix") };
            grown.value(name).narrow(0, 0, rows).narrow(1, 0, columns).copy_(&source);
        }
    }
}

/// Uniform in ±1/√I, PEFT's initialisation (Kaiming with a = √5).
fn random_a(name: &str, seed: u64, shape: &[i64]) -> Tensor {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(name);
    let mut random = ChaCha8Rng::from_seed(hash.finalize().into());
    let bound = 1.0 / (shape[1] as f32).sqrt();
    // 24 bits, which f32 represents exactly.
    let numbers: Vec<f32> = (0..shape.iter().product::<i64>())
        .map(|_| ((random.next_u32() >> 8) as f32 / 8_388_608.0 - 1.0) * bound)
        .collect();
    Tensor::from_slice(&numbers).to_kind(Kind::Float).view(shape)
}
