//! AlpacaEval 2: 805 instructions, a model's outputs against a baseline's by a judge's preference, the win rate, and the
//! win rate that the model would have if its outputs were as long as the baseline's (Dubois et al., arXiv 2404.04475).
//!
//! The task `alpaca-eval` asks the [`instructions`]. A [`judge`](crate::judge) gives the preferences. [`LengthControl`] turns them into
//! [`WinRates`] with intervals: [`LengthControl::published`] is AlpacaEval's own model, [`LengthControl::plain`] the same
//! without the instructions' difficulty, for any other list of instructions. [`Published`] holds the public weights and preferences.

mod contest;
mod fit;
mod length_control;
mod logistic;
mod outputs;
mod prompts;
mod published;
mod regulariser;

pub use contest::{Contest, Weights};
pub use fit::fit;
pub use length_control::{FEWEST_VERDICTS, LengthControl, PENALTY, WinRates, raw_win_rate};
pub use outputs::{outputs, read_outputs};
pub use prompts::instructions;
pub(crate) use prompts::{MEASURES, open};
pub use published::Published;
pub use regulariser::{PENALTIES, Regulariser, nearest_penalty};
