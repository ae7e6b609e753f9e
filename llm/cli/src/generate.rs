//! `tokensieve generate`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::atomic::Ordering;
use std::time::Instant;

use clap::builder::NonEmptyStringValueParser;
use rand_chacha::rand_core::RngCore as _;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::interruption::{INTERRUPTED, STOPPING, interruption};
use super::model_arguments::{GenerationArguments, LoadedModel, SamplingArguments, count, seed};
use super::processes::{Processes, Sharing, WAY_BACK};
use tokensieve_base::streams::keyed;
use tokensieve_documents::Prompt;
use tokensieve_documents::estimates::HashedPath;
use tokensieve_infer::generate::{
    Event, Generator, Options, REPLY_LIMIT, ReplyFile, ReplyLine, Request, Stop, report_too_long,
};
use tokensieve_infer::together::Together;
use tokensieve_model::Error;
use tokensieve_model::text::{Message, Moment};

/// Prompts, model, and how replies are sampled.
#[derive(clap::Args, Debug)]
#[command(
    override_usage = "tokensieve generate <PROMPTS> --out <FILE> [OPTIONS]\n       \
                      tokensieve generate --prompt <TEXT> [OPTIONS]",
    after_help = "A row of PROMPTS is one prompt: a text under `prompt`, which is continued without a chat template; or a row in \
    any format that training reads, whose conversation is continued after its last message before the answer. PROMPTS may \
    also name a data set: gsm8k/test.\n\nThe file of replies begins with the settings. An interrupted run continues when the same \
    command is given again; the replies depend neither on the batch nor on interruptions.\n\nExit code: 0 done; 1 an error; 2 \
    wrong arguments; 130 stopped by Ctrl-C (complete replies are in the file)."
)]
pub struct Arguments {
    /// File of prompts (JSON lines, a JSON array, Parquet), or name of a data set
    #[arg(required_unless_present = "prompt", requires = "out")]
    prompts: Option<String>,
    /// File of replies to write, in JSON lines
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the reply to this text, which is a user message if the model has a chat template
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["prompts", "out"])]
    prompt: Option<String>,
    /// Continue the text of --prompt without the chat template
    #[arg(long, requires = "prompt", conflicts_with = "prompts")]
    plain: bool,
    #[command(flatten)]
    model: GenerationArguments,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// Maximum number of tokens of a reply
    #[arg(long, default_value_t = REPLY_LIMIT, value_parser = count, allow_negative_numbers = true)]
    limit: usize,
    /// Stop text: the reply ends before it; may be given several times
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    stop: Vec<String>,
    /// Seed of all random numbers
    #[arg(long, default_value_t = Request::default().seed, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
    /// Number of prompts to read. Default: all
    #[arg(short, value_name = "N", value_parser = count, allow_negative_numbers = true, conflicts_with = "prompt")]
    n: Option<usize>,
    /// Number of replies that are generated at the same time
    #[arg(long, default_value_t = Options::default().batch, value_parser = count, allow_negative_numbers = true)]
    batch: usize,
    /// Discard the replies that the file already has
    #[arg(long, conflicts_with = "prompt")]
    fresh: bool,
    #[command(flatten)]
    sharing: Sharing,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        self.sampling.sampling()?;
        self.model.merges()?;
        // A file of replies must not depend on the day, so that another day can continue it.
        let date = if self.prompt.is_some() { Moment::now() } else { Moment::default() };
        match (&self.prompt, &self.prompts, &self.out) {
            (Some(_), ..) if self.sharing.is_asked() => {
                anyhow::bail!("--processes shares a file of PROMPTS; leave it out with --prompt")
            }
            (Some(text), ..) => self.answer(text, &self.model.of.open(date)?),
            (None, Some(prompts), Some(out)) => {
                let processes = self.sharing.join(WAY_BACK)?;
                let together = Together::of(processes.as_ref().map(Processes::group));
                let answer = || self.answer_all(prompts, out, &self.model.of.open(date)?, &together);
                if Processes::checked(processes.as_ref(), answer)?.is_break() {
                    Processes::end_interrupted(processes);
                }
                Ok(())
            }
            _ => anyhow::bail!("either PROMPTS with --out, or --prompt, is required"),
        }
    }

    fn generator<'a>(&self, loaded: &'a LoadedModel) -> Generator<'a> {
        let options = Options { batch: self.batch, merge: self.model.merge };
        Generator::new(&loaded.model, &loaded.tokenizer, options)
    }

    fn request(&self, prompt: Vec<u32>, plain: bool, row: u64) -> tokensieve_model::Result<Request> {
        Ok(Request {
            prompt,
            plain,
            limit: self.limit,
            stop: self.stop.clone(),
            sampling: self.sampling.sampling()?,
            seed: keyed("generate row", self.seed, row).next_u64(),
        })
    }

    /// Prints the reply to one text while it is generated.
    fn answer(&self, text: &str, loaded: &LoadedModel) -> anyhow::Result<()> {
        let tokenizer = &loaded.tokenizer;
        let plain = self.plain || tokenizer.template().is_none();
        let prompt = if plain {
            tokenizer.plain_prompt(text)?
        } else {
            tokenizer.chat_prompt(&[Message::new("user", text)], &[])?
        };
        let context = loaded.model.config().max_positions as usize;
        check_length(prompt.len(), context)?;
        let interrupted = interruption("Stopped.", "nothing");
        let mut printed = Ok(());
        let mut print = |_: usize, event: Event<'_>| {
            printed = match event {
                Event::Text(text) => tokensieve_base::output!("{text}"),
                Event::Done(_) => tokensieve_base::output!("\n"),
            };
            if printed.is_err() || interrupted.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let replies = self.generator(loaded).run(&[self.request(prompt, plain, 0)?], &mut print);
        let replies = replies.map_err(|failure| failure.error)?;
        printed?;
        if replies.iter().flatten().any(|reply| reply.stop == Stop::Context) {
            tokensieve_base::status!(
                "the reply ends because the model's context of {context} tokens is full"
            );
        }
        if interrupted.load(Ordering::Relaxed) {
            exit(INTERRUPTED);
        }
        Ok(())
    }

    /// Writes the replies to a file of prompts; each process generates its part of them, and process 0 stores all.
    fn answer_all(
        &self,
        source: &str,
        out: &Path,
        loaded: &LoadedModel,
        together: &Together<'_>,
    ) -> anyhow::Result<ControlFlow<()>> {
        let (path, prompts) = tokensieve_documents::prompts(source, self.n, &loaded.tokenizer)?;
        let hashes: Vec<String> = prompts.iter().map(hash).collect();
        together.same("model", || loaded.checkpoint.hash())?;
        together.same("file of prompts", || &hashes)?;
        let settings = self.settings(loaded)?;
        together.same("adapter or setting", || &settings)?;
        let mut storing = if together.stores() {
            let file = ReplyFile::open(out, &settings, &hashes, self.fresh)?;
            Some(Storing { file, replies: 0, tokens: 0 })
        } else {
            None
        };
        let done =
            together.agreed(storing.as_ref().map(|storing| storing.file.rows()).unwrap_or_default())?;
        let left: Vec<Prompt> = prompts.into_iter().filter(|prompt| !done.contains(&prompt.row)).collect();
        if !done.is_empty() {
            tokensieve_base::status!(
                "{} replies are in the file already, {} are left",
                done.len(),
                left.len()
            );
        }
        if together.stores() {
            let context = loaded.model.config().max_positions as usize;
            let too_long = left.iter().filter(|prompt| prompt.tokens.len() >= context).count();
            report_too_long(source, (too_long, left.len()), "prompts", context);
        }
        let own = &left[together.part(left.len())];
        let requests: Vec<Request> = own
            .iter()
            .map(|prompt| self.request(prompt.tokens.clone(), prompt.plain, prompt.row as u64))
            .collect::<Result<_, _>>()?;
        let interrupted = interruption(STOPPING, "unfinished replies");
        let stopped = || interrupted.load(Ordering::Relaxed);
        let mut outcome = Ok(());
        let generator = self.generator(loaded);
        let start = Instant::now();
        let mut each = |index: usize, event: Event<'_>| {
            if let Event::Done(reply) = event {
                let row = own[index].row;
                let line = ReplyLine::new(row, hashes[row].clone(), reply);
                outcome = match &mut storing {
                    Some(storing) => {
                        storing.store(&line).and_then(|()| together.received(|line| storing.store(&line)))
                    }
                    None => together.send(&line),
                };
            }
            if outcome.is_err() || stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let generated = generator.run(&requests, &mut each);
        generated.map_err(|failure| Error::line(&path, own[failure.index].line, failure.error))?;
        outcome?;
        let ended = together.finish(stopped, |line| match &mut storing {
            Some(storing) => storing.store(&line),
            None => Ok(()),
        })?;
        let Some(Storing { file, replies, tokens }) = storing else { return Ok(ended) };
        let seconds = start.elapsed().as_secs_f64();
        if replies == left.len() {
            file.sort()?;
        }
        tokensieve_base::output!(
            "{replies} replies of {tokens} tokens in {seconds:.1} s: {:.0} tokens/s\n",
            tokens as f64 / seconds.max(1e-9)
        )?;
        // Ctrl-C may have come after the last one.
        Ok(if replies == left.len() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    }

    /// The settings on which the replies depend.
    fn settings(&self, loaded: &LoadedModel) -> anyhow::Result<Map<String, Value>> {
        let sampling = self.sampling.sampling()?;
        let adapter = self.model.of.adapter.as_deref().map(HashedPath::adapter).transpose()?;
        let settings = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "model": self.model.of.model,
            "model_sha256": loaded.checkpoint.hash(),
            "tokenizer": loaded.tokenizer.hash()?,
            "adapter": adapter,
            "precision": self.model.of.precision.name(),
            "merge": self.model.merge,
            "limit": self.limit,
            "stop": self.stop,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "min_p": sampling.min_p,
            "repetition_penalty": sampling.repetition_penalty,
            "seed": self.seed,
        });
        let Value::Object(settings) = settings else { unreachable!("an object literal") };
        Ok(settings)
    }
}

/// The file of replies, and what was added to it.
struct Storing {
    file: ReplyFile,
    replies: usize,
    tokens: usize,
}

impl Storing {
    fn store(&mut self, line: &ReplyLine) -> tokensieve_model::Result<()> {
        self.replies += 1;
        self.tokens += line.tokens;
        self.file.push(line)
    }
}

/// Checks that a prompt leaves room for a reply.
fn check_length(tokens: usize, context: usize) -> tokensieve_model::Result<()> {
    if tokens < context {
        return Ok(());
    }
    let what = format!(
        "has {tokens} tokens, but the model's context holds {context}; shorten it to leave room for a reply"
    );
    Err(Error::setting("--prompt", what))
}

/// SHA-256 of the tokens of a prompt, in hex.
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
        assert!(check_length(2047, 2048).is_ok());
        let error = check_length(2048, 2048).unwrap_err().to_string();
        assert!(
            error.starts_with("--prompt: has 2048 tokens, but the model's context holds 2048"),
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
