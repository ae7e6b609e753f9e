//! `tokensieve chat`.

use std::io::{self, BufRead, IsTerminal as _};
use std::ops::ControlFlow;
use std::string::FromUtf8Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand_chacha::rand_core::RngCore as _;

use super::choice::{AnswererChoice, SamplingChoice};
use super::interruption;
use tokensieve_base::streams::keyed;
use tokensieve_infer::generate::{Event, Generator, Options, Request, Stop};
use tokensieve_model::text::{Message, Moment};

/// Whom to talk with, and how.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "A line is a message. /reset forgets the conversation, /quit (or the end of the input) ends it; Ctrl-C ends an \
    answer. Standard input may be a file or a pipe: then only the answers are printed."
)]
pub struct Arguments {
    #[command(flatten)]
    answerer: AnswererChoice,
    #[command(flatten)]
    sampling: SamplingChoice,
    /// The system's message, before all others
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// The most tokens of an answer
    #[arg(long, default_value_t = 1024)]
    limit: usize,
    /// Of all random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let sampling = self.sampling.sampling()?;
        let chosen = self.answerer.of.open(Moment::now())?;
        anyhow::ensure!(
            chosen.tokenizer.template().is_some(),
            "{} has no chat template: choose one with --chat-template, or let `tokensieve generate --prompt` continue a text",
            self.answerer.of.model
        );
        let options = Options { batch: 1, merge: self.answerer.merge };
        let generator = Generator::new(&chosen.model, &chosen.tokenizer, options);
        let answering = Arc::new(Answering::default());
        let handler = Arc::clone(&answering);
        if let Err(error) = ctrlc::set_handler(move || handler.interrupt()) {
            tokensieve_model::status!("warning: Ctrl-C will end the program, not the answer ({error})");
        }
        let opening = || self.system.iter().map(|text| Message::new("system", text)).collect::<Vec<_>>();
        let (mut messages, mut memory, mut turn) = (opening(), generator.memory(), 0);
        let mut input = io::stdin().lock();
        let shows_prompt = io::stdin().is_terminal();
        loop {
            if shows_prompt {
                tokensieve_model::output!("> ")?;
            }
            let Some(line) = next_line(&mut input)? else { return Ok(()) };
            let Ok(line) = line else {
                tokensieve_model::status!(
                    "that line is not UTF-8 and was left out; the conversation goes on without it"
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
                limit: self.limit,
                stop: Vec::new(),
                sampling: sampling.clone(),
                seed: keyed("chat", self.seed, turn).next_u64(),
            };
            turn += 1;
            let mut said = String::new();
            answering.begin();
            let mut printed = Ok(());
            let reply = generator.reply(&mut memory, &request, &mut |event| {
                if let Event::Text(text) = event {
                    said += text;
                    printed = tokensieve_model::output!("{text}");
                }
                if printed.is_err() || answering.is_over() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            answering.end();
            printed?;
            tokensieve_model::output!("\n")?;
            if reply.is_some_and(|reply| reply.stop == Stop::Context) {
                tokensieve_model::status!("the model's context is full; /reset begins anew");
            }
            messages.push(Message::new("assistant", said));
        }
    }
}

/// The next line of the input; one that is no text is the inner error, and is behind us all the same.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<Result<String, FromUtf8Error>>> {
    let mut line = Vec::new();
    Ok((input.read_until(b'\n', &mut line)? > 0).then(|| String::from_utf8(line)))
}

/// Whether an answer is under way, and whether it is to end.
#[derive(Default)]
struct Answering {
    under_way: AtomicBool,
    over: AtomicBool,
}

impl Answering {
    fn begin(&self) {
        self.over.store(false, Ordering::Relaxed);
        self.under_way.store(true, Ordering::Relaxed);
    }

    fn end(&self) {
        self.under_way.store(false, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Ends the answer; between answers, the program.
    fn interrupt(&self) {
        if !self.under_way.load(Ordering::Relaxed) || self.over.swap(true, Ordering::Relaxed) {
            interruption::end();
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
