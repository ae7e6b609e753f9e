//! Objectives for post-training on the tokens that matter: from a few scalars per token to two pulls.
//!
//! # The idea
//! At one token with logits z, p = softmax(z) and label y, nearly every objective in use is a weighted
//! log-likelihood, loss = −Σₓ w(x) log p(x), whose weights have one shape: **w = a·eᵧ + b·q**, a pull `a` onto the
//! label and a pull `b` onto a reference distribution q. Its gradient on the logits is
//!
//! ```text
//! (a + b)·p − a·eᵧ − b·q
//! ```
//!
//! So an objective is a function from a few numbers per token ([`TokenStats`]) to two ([`Pull`]), and training code
//! needs nothing else: whoever can compute the statistics and apply the formula ([`gradient`]) can train with
//! everything here. There is no tensor library in this crate, no randomness but a hash, and all transcendental
//! functions come from `libm`, so that results are the same bits on every machine.
//!
//! # One step of training
//! ```
//! use tokensieve_objective::{Objective, Plan, TokenStats, gradient};
//!
//! let objective = Objective::preset("masked-mle+distill")?;
//! let mut training = objective.begin(Plan { steps: 1000, seed: 0 });
//!
//! // The whole optimizer batch: loss = −log p(label), entropy, and which token it is.
//! let stats: Vec<TokenStats> = [0.1, 2.0, 0.3, 0.7]
//!     .into_iter()
//!     .zip(0..)
//!     .map(|(loss, position)| TokenStats { position, ..TokenStats::new(loss, 0.5) })
//!     .collect();
//! let pulls = training.pulls(&stats)?;
//! assert_eq!(pulls.selected, [false, true, false, false]); // the quarter with the largest loss
//! assert_eq!((pulls.pulls[1].label, pulls.pulls[1].reference), (1.0, 0.0)); // learns its label
//! assert_eq!((pulls.pulls[0].label, pulls.pulls[0].reference), (0.0, 1.0)); // follows the reference
//!
//! // The step's gradient is the sum of these, divided by pulls.normaliser.
//! let (p, q) = ([0.9, 0.1], [0.8, 0.2]);
//! let mut on_logits = [0.0; 2];
//! gradient(&p, 0, Some(&q), pulls.pulls[0], &mut on_logits);
//! assert!((on_logits[0] - 0.1).abs() < 1e-12);
//! # Ok::<(), tokensieve_objective::Error>(())
//! ```
//!
//! # An objective is a table
//! ```
//! use tokensieve_objective::Objective;
//!
//! let objective = Objective::from_toml(r#"
//!     [objective]
//!     selected  = "-log p"         # any loss in p: "-p", "-p^10", "log(1 - p)", "(1 - p^0.5) / 0.5"
//!     otherwise = "distill(mle)"   # or "none"
//!
//!     [objective.select]
//!     by = "loss"
//!     keep = "top 25%"
//!     of = "tokens"
//!     within = "batch"
//! "#)?;
//! assert_eq!(objective.describe().selection, "top 25% of tokens by loss, within the batch");
//!
//! // A preset is such a table, and a table may start from one.
//! let objective = Objective::from_toml("preset = 'f-alpha'\nparameters.alpha = 10")?;
//! assert_eq!(objective.describe().selected_pull, "a = p^10");
//! # Ok::<(), tokensieve_objective::Error>(())
//! ```
//! [`KEYS`] lists every key with its default; [`presets::names`] every preset, [`Objective::describe`] what one does.
//! The [`expression`] module has the language of losses. A loss f(p) is read once into f and the exact pull
//! a = −p·f′(p); one that is not finite or increases somewhere on (0, 1] is refused with the reason and the place.
//! `log(1 - p)` alone has no bottom at p = 1 and is read as `log(1 - p + 0.001)`, as published.
//!
//! # Selection
//! A **criterion** ranks (loss, entropy, probability, excess loss over a reference, divergence from it, BALD, random, or
//! any expression);
//! a **band** of quantiles [low, high) of the ascending order is kept: of n the ranks round(low·n)..round(high·n),
//! ties broken by (document, position), so that sizes are exact and the order of a batch does not matter. Ranked are
//! **tokens** or whole **documents** by their mean, **within** the batch, each micro-batch
//! ([`Training::pulls_in`]), what came lately (a [`quantile`] sketch), or the corpus as surveyed before training
//! ([`Training::survey`]: thresholds fixed for good). A **schedule** moves the band over the run.
//!
//! # What is divided by what
//! One number divides the whole optimizer batch's gradient, never micro-batch by micro-batch: tokens with a pull
//! that is not zero (`pulled`), all that are not masked (`all`), their users' weights (`weights`), or documents.
//! A token of weight 0 is masked: it pulls nothing and counts nowhere. Where nothing pulls, `pulled` and `weights` divide
//! by all tokens that are not masked, or by 1 if there is none; a statistic that is NaN or missing is an error that
//! names it.
//!
//! # Bands and profiles
//! [`Bands`] divide a sample's tokens by the label's probability, and a [`Profile`] has an objective's mean pull in
//! each band. With the bands' gradients they predict the first step of every objective that needs no reference.
//!
//! # What is not here
//! Objectives whose gradient is neither of the form above nor the reverse divergence's
//! ([`reverse_gradient`], key `direction`).

mod band;
mod check;
mod describe;
mod error;
pub mod expression;
mod formula;
mod objective;
pub mod presets;
mod profile;
mod pull;
mod pulls;
pub mod quantile;
mod rank;
mod read;
mod schedule;
mod select;
mod settings;
mod stats;
mod training;
mod truncate;

pub use band::Band;
pub use describe::Description;
pub use error::Error;
pub use expression::{Expression, Variable};
pub use objective::{Against, Direction, Normalise, Objective};
pub use profile::{Bands, Profile};
pub use pull::{Pull, cross_entropy, divergence, gradient, reverse_gradient};
pub use pulls::Pulls;
pub use schedule::{Plan, Schedule};
pub use select::{Criterion, Granularity, Selection, Within};
pub use settings::{KEYS, Key};
pub use stats::TokenStats;
pub use training::{State, Training};
pub use truncate::truncate;
