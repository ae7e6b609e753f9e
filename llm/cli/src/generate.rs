//! `tokensieve generate`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rand_chacha::rand_core::RngCore as _;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::choice::{AnswererChoice, Chosen, SamplingChoice};
use super::interruption::{INTERRUPTED, interruption};
use tokensieve_base::streams::keyed;
use tokensieve_documents::Prompt;
use tokensieve_documents::estimates::Named;
use tokensieve_infer::generate::{Event, Generator, Options, ReplyFile, ReplyLine, Request, Stop};
use tokensieve_model::Error;
use tokensieve_model::text::{Message, Moment};

/// Prompts, model, and how to draw.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "PROMPTS has a row per prompt: a text under `prompt`, which is continued as it stands; a conversation under \
    `messages`; or a row of any format that training reads, up to its answer. A name is a data set: gsm8k/test.\n\nThe file \
    of replies begins with the settings. A run that was stopped goes on when the same command is given again; replies do not \
    depend on the batch or on where it was stopped.\n\nExit code: 0 done; 1 an error; 2 wrong arguments; 130 stopped by \
    Ctrl-C (once: what is done is in the file)."
)]
pub struct Arguments {
    /// A file (JSON lines, a JSON array, Parquet), or a data set by name
    #[arg(required_unless_present = "prompt", requires = "out")]
    prompts: Option<String>,
    /// The file of replies, in JSON lines
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Answer this one text on the terminal: a user's message if the model has a chat template
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["prompts", "out"])]
    prompt: Option<String>,
    /// Continue the text of --prompt as it stands
    #[arg(long, requires = "prompt", conflicts_with = "prompts")]
    plain: bool,
    #[command(flatten)]
    answerer: AnswererChoice,
    #[command(flatten)]
    sampling: SamplingChoice,
    /// The most new tokens of a reply
    #[arg(long, default_value_t = 512)]
    limit: usize,
    /// A text before which a reply ends; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Of all random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Only so many prompts, from the first
    #[arg(short, value_name = "N")]
    n: Option<usize>,
    /// Replies that grow at the same time
    #[arg(long, default_value_t = Options::default().batch)]
    batch: usize,
    /// Start over where the file has replies already
    #[arg(long)]
    fresh: bool,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        self.sampling.sampling()?;
        // What is written into a file is the same on any day, and can be gone on with on another.
        let day = if self.prompt.is_some() { Moment::now() } else { Moment::default() };
        let chosen = self.answerer.of.open(day)?;
        match (&self.prompt, &self.prompts, &self.out) {
            (Some(text), ..) => self.answer(text, &chosen),
            (None, Some(prompts), Some(out)) => self.answer_all(prompts, out, &chosen),
            _ => anyhow::bail!("prompts and --out, or --prompt, are needed"),
        }
    }

    fn generator<'a>(&self, chosen: &'a Chosen) -> Generator<'a> {
        let options = Options { batch: self.batch, merge: self.answerer.merge };
        Generator::new(&chosen.model, &chosen.tokenizer, options)
    }

    fn request(&self, prompt: Vec<u32>, row: u64) -> tokensieve_model::Result<Request> {
        Ok(Request {
            prompt,
            limit: self.limit,
            stop: self.stop.clone(),
            sampling: self.sampling.sampling()?,
            seed: keyed("generate row", self.seed, row).next_u64(),
        })
    }

    /// One text, to the terminal as it comes.
    fn answer(&self, text: &str, chosen: &Chosen) -> anyhow::Result<()> {
        let tokenizer = &chosen.tokenizer;
        let prompt = if self.plain || tokenizer.template().is_none() {
            tokenizer.plain_prompt(text)?
        } else {
            tokenizer.chat_prompt(&[Message::new("user", text)], &[])?
        };
        let context = chosen.model.config().max_positions as usize;
        fits(prompt.len(), context)?;
        let interrupted = interruption("Stopped.", "nothing");
        let mut printed = Ok(());
        let mut print = |_: usize, event: Event<'_>| {
            printed = match event {
                Event::Text(text) => tokensieve_model::output!("{text}"),
                Event::Done(_) => tokensieve_model::output!("\n"),
            };
            if printed.is_err() || interrupted.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let replies = self.generator(chosen).run(&[self.request(prompt, 0)?], &mut print)?;
        printed?;
        if replies.iter().flatten().any(|reply| reply.stop == Stop::Context) {
            tokensieve_model::status!("the reply ends here: the model's context of {context} tokens is full");
        }
        if interrupted.load(Ordering::Relaxed) {
            exit(INTERRUPTED);
        }
        Ok(())
    }

    /// All prompts of a file, into a file.
    fn answer_all(&self, prompts: &str, out: &Path, chosen: &Chosen) -> anyhow::Result<()> {
        let (_, prompts) = tokensieve_documents::prompts(prompts, self.n, &chosen.tokenizer)?;
        let hashes: Vec<String> = prompts.iter().map(hash).collect();
        let mut file = ReplyFile::open(out, &self.settings(chosen)?, &hashes, self.fresh)?;
        let done = file.rows();
        let left: Vec<Prompt> = prompts.into_iter().filter(|prompt| !done.contains(&prompt.row)).collect();
        if !done.is_empty() {
            tokensieve_model::status!("{} replies are there, {} to go", done.len(), left.len());
        }
        let requests: Vec<Request> = left
            .iter()
            .map(|prompt| self.request(prompt.tokens.clone(), prompt.row as u64))
            .collect::<Result<_, _>>()?;
        let interrupted = interruption("Stopping; the same command goes on.", "unfinished replies");
        let (mut tokens, mut outcome) = (0, Ok(()));
        let generator = self.generator(chosen);
        let start = Instant::now();
        let mut each = |index: usize, event: Event<'_>| {
            if let Event::Done(reply) = event {
                let row = left[index].row;
                tokens += reply.tokens.len();
                outcome = file.push(&ReplyLine::new(row, hashes[row].clone(), reply));
            }
            if outcome.is_err() || interrupted.load(Ordering::Relaxed) {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        let replies = generator.run(&requests, &mut each)?;
        outcome?;
        let finished = replies.iter().flatten().count();
        let seconds = start.elapsed().as_secs_f64();
        if finished == requests.len() {
            file.sort()?;
        }
        tokensieve_model::output!(
            "{finished} replies of {tokens} tokens in {seconds:.1} s: {:.0} tokens/s\n",
            tokens as f64 / seconds.max(1e-9)
        )?;
        if finished < requests.len() {
            exit(INTERRUPTED);
        }
        Ok(())
    }

    /// What the replies depend on.
    fn settings(&self, chosen: &Chosen) -> anyhow::Result<Map<String, Value>> {
        let sampling = self.sampling.sampling()?;
        let adapter = self.answerer.of.adapter.as_deref().map(Named::adapter).transpose()?;
        let settings = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "model": self.answerer.of.model,
            "model_sha256": chosen.checkpoint.hash(),
            "adapter": adapter,
            "precision": self.answerer.of.precision.name(),
            "merge": self.answerer.merge,
            "limit": self.limit,
            "stop": self.stop,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "min_p": sampling.min_p,
            "repetition_penalty": sampling.repetition_penalty,
            "seed": self.seed,
        });
        let Value::Object(settings) = settings else { unreachable!("written as one") };
        Ok(settings)
    }
}

/// Refuses a prompt after which nothing can be said.
fn fits(tokens: usize, context: usize) -> tokensieve_model::Result<()> {
    if tokens < context {
        return Ok(());
    }
    let what = format!(
        "is {tokens} tokens long, and the model's context holds {context}: give a text that leaves room for a reply"
    );
    Err(Error::setting("--prompt", what))
}

/// Of a prompt's tokens, in hex.
fn hash(prompt: &Prompt) -> String {
    let bytes: Vec<u8> = prompt.tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
    format!("{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        _arguments: Arguments,
    }

    #[test]
    fn a_prompt_leaves_room_for_a_reply() {
        assert!(fits(2047, 2048).is_ok());
        let error = fits(2048, 2048).unwrap_err().to_string();
        assert!(
            error.starts_with("--prompt: is 2048 tokens long, and the model's context holds 2048"),
            "{error}"
        );
    }

    #[test]
    fn plain_is_for_one_text_alone() {
        assert!(Line::try_parse_from(["", "--prompt", "Q", "--plain"]).is_ok());
        assert!(Line::try_parse_from(["", "p.jsonl", "--out", "r.jsonl"]).is_ok());
        let error = Line::try_parse_from(["", "p.jsonl", "--out", "r.jsonl", "--plain"]).err().unwrap();
        assert!(error.to_string().contains("--plain"), "{error}");
    }
}
