//! The 805 instructions.

use serde::Deserialize;
use tokensieve_data::Catalogue;

use crate::{Answer, Ask, Error, Measure, Message, Question, Result, Task, Unit};

/// Longest reply, in tokens. The public outputs average 500 and seldom reach it (choice).
const LIMIT: usize = 1024;

const MEASURES: [Measure; 2] = [
    Measure {
        name: "characters",
        meaning: "mean length of a reply; the win rate needs a judge",
        unit: Unit::Number,
        more_is_better: false,
        of: crate::task::ratio,
    },
    Measure::share("ended", "replies that ended by themselves, within the limit of tokens"),
];

/// AlpacaEval's instructions as a task. What a reply is worth only a judge can say: the task's own measures are its length
/// and whether it came to an end, and its replies go to [`crate::judge::pairwise`].
#[derive(Clone, Debug)]
pub struct AlpacaEval {
    questions: Vec<Question>,
}

impl AlpacaEval {
    /// Fetches and reads the instructions.
    pub fn load(catalogue: &Catalogue) -> Result<Self> {
        #[derive(Deserialize)]
        struct Prompt {
            instruction: String,
        }
        let files = catalogue.fetch("alpaca-eval")?;
        let path = files.path("prompts");
        let text = std::fs::read_to_string(path).map_err(|error| Error::file(path, error))?;
        let questions = text
            .lines()
            .enumerate()
            .map(|(i, line)| {
                let prompt: Prompt =
                    serde_json::from_str(line).map_err(|error| Error::line(path, i + 1, error))?;
                Ok(Question {
                    id: i.to_string(),
                    messages: vec![Message::user(prompt.instruction)],
                    ask: Ask::Reply { limit: LIMIT, stop: Vec::new() },
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { questions })
    }

    /// The instructions in order.
    pub fn instructions(&self) -> Vec<String> {
        self.questions.iter().map(|question| question.messages[0].content.clone()).collect()
    }
}

impl Task for AlpacaEval {
    fn name(&self) -> &'static str {
        "alpaca-eval"
    }

    fn questions(&self) -> &[Question] {
        &self.questions
    }

    fn measures(&self) -> &[Measure] {
        &MEASURES
    }

    fn tally(&self, _: usize, answer: &Answer) -> Result<Vec<Vec<f64>>> {
        match answer {
            Answer::Reply { text, ended, .. } => {
                Ok(vec![vec![text.chars().count() as f64, 1.0], vec![f64::from(u8::from(*ended)), 1.0]])
            }
            Answer::Likelihood { .. } => {
                Err(Error::Setting("alpaca-eval: asks for replies, and was answered with likelihoods".into()))
            }
        }
    }
}
