//! `tokensieve chat`.

use std::io::{self, BufRead, IsTerminal as _};
use std::ops::ControlFlow;
use std::string::FromUtf8Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use rand_chacha::rand_core::RngCore as _;

use super::interruption;
use super::model_arguments::{GenerationArguments, SamplingArguments, count, seed};
use tokensieve_base::files::read_line;
use tokensieve_base::streams::keyed;
use tokensieve_infer::generate::{CHAT_LIMIT, Event, Generator, Options, Request, Stop};
use tokensieve_model::text::{Message, Moment};

/// The model, and how answers are sampled.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Every line is a message. /reset starts a new conversation; /quit or the end of the input ends the program; \
    Ctrl-C ends an answer. If standard input is a file or a pipe, only the answers are printed."
)]
pub struct Arguments {
    #[command(flatten)]
    model: GenerationArguments,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// System message at the beginning of the conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Maximum number of tokens of an answer
    #[arg(long, default_value_t = CHAT_LIMIT, value_parser = count, allow_negative_numbers = true)]
    limit: usize,
    /// Seed of all random numbers
    #[arg(long, default_value_t = Request::default().seed, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let sampling = self.sampling.sampling()?;
        let chosen = self.model.of.open(Moment::now())?;
        anyhow::ensure!(
            chosen.tokenizer.template().is_some(),
            "{} has no chat template: choose one with --chat-template, or continue a text with `tokensieve generate --prompt`",
            self.model.of.model
        );
        let options = Options { batch: 1, merge: self.model.merges()? };
        let generator = Generator::new(&chosen.model, &chosen.tokenizer, options);
        let answering = Arc::new(Answering::default());
        let handler = Arc::clone(&answering);
        if let Err(error) = ctrlc::set_handler(move || handler.interrupt()) {
            tokensieve_base::status!("warning: Ctrl-C will end the program instead of the answer ({error})");
        }
        let opening = || self.system.iter().map(|text| Message::new("system", text)).collect::<Vec<_>>();
        let (mut messages, mut cache, mut turn) = (opening(), generator.conversation_cache(), 0);
        let mut input = io::stdin().lock();
        let shows_prompt = io::stdin().is_terminal();
        loop {
            if shows_prompt {
                tokensieve_base::output!("> ")?;
            }
            let Some(line) = next_line(&mut input).context("standard input")? else { return Ok(()) };
            let Ok(line) = line else {
                tokensieve_base::status!(
                    "this line is not valid UTF-8 and is ignored; the conversation continues without it"
                );
                continue;
            };
            match line.trim() {
                "" => continue,
                "/quit" => return Ok(()),
                "/reset" => {
                    messages = opening();
                    continue;
                }
                text => messages.push(Message::new("user", text)),
            }
            let request = Request {
                prompt: chosen.tokenizer.chat_prompt(&messages, &[])?,
                plain: false,
                limit: self.limit,
                stop: Vec::new(),
                sampling: sampling.clone(),
                seed: keyed("chat", self.seed, turn).next_u64(),
            };
            turn += 1;
            let mut answer = String::new();
            answering.begin();
            let mut printed = Ok(());
            let reply = generator.reply(&mut cache, &request, &mut |event| {
                if let Event::Text(text) = event {
                    answer += text;
                    printed = tokensieve_base::output!("{text}");
                }
                if printed.is_err() || answering.should_end() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            answering.end();
            printed?;
            tokensieve_base::output!("\n")?;
            if reply.is_some_and(|reply| reply.stop == Stop::Context) {
                tokensieve_base::status!("the model's context is full; /reset starts a new conversation");
            }
            messages.push(Message::new("assistant", answer));
        }
    }
}

/// Reads the next line of the input. The inner error: the line is not valid UTF-8, and has been consumed.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<Result<String, FromUtf8Error>>> {
    let mut line = Vec::new();
    read_line(input, &mut line)?;
    Ok((!line.is_empty()).then(|| String::from_utf8(line)))
}

/// Whether an answer is being generated, and whether it should end.
#[derive(Default)]
struct Answering {
    active: AtomicBool,
    ending: AtomicBool,
}

impl Answering {
    fn begin(&self) {
        self.ending.store(false, Ordering::Relaxed);
        self.active.store(true, Ordering::Relaxed);
    }

    fn end(&self) {
        self.active.store(false, Ordering::Relaxed);
    }

    fn should_end(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Ends the answer; between answers, ends the program.
    fn interrupt(&self) {
        if !self.active.load(Ordering::Relaxed) || self.ending.swap(true, Ordering::Relaxed) {
            interruption::end(interruption::INTERRUPTED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_text_does_not_end_the_input() {
        let mut input = &b"one\n\xff\xfe\ntwo"[..];
        let mut next = || next_line(&mut input).unwrap();
        assert_eq!(next().unwrap().unwrap(), "one\n");
        assert!(next().unwrap().is_err());
        assert_eq!(next().unwrap().unwrap(), "two");
        assert!(next().is_none());
    }
}
