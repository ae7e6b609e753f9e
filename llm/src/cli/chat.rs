//! `tokensieve chat`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand_chacha::rand_core::RngCore as _;

use super::choice::{AnswererChoice, SamplingChoice};
use super::interruption::INTERRUPTED;
use crate::data::stream;
use crate::generate::{Event, Generator, Options, Request, Stop};
use crate::text::{Message, Moment};

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
            eprintln!("warning: Ctrl-C will end the program, not the answer ({error})");
        }
        let opening = || self.system.iter().map(|text| Message::new("system", text)).collect::<Vec<_>>();
        let (mut messages, mut memory, mut turn) = (opening(), generator.memory(), 0);
        let mut input = io::stdin().lock();
        let shows_prompt = io::stdin().is_terminal();
        let mut line = String::new();
        loop {
            if shows_prompt {
                print!("> ");
                io::stdout().flush()?;
            }
            line.clear();
            if input.read_line(&mut line)? == 0 {
                return Ok(());
            }
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
                seed: stream("chat", self.seed, turn).next_u64(),
            };
            turn += 1;
            let mut said = String::new();
            answering.begin();
            let reply = generator.reply(&mut memory, &request, &mut |event| {
                if let Event::Text(text) = event {
                    said += text;
                    print!("{text}");
                    // Where nobody reads any more there is nothing to flush, and the next line will say so.
                    let _ = io::stdout().flush();
                }
                if answering.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            answering.end();
            println!();
            if reply.is_some_and(|reply| reply.stop == Stop::Context) {
                eprintln!("the model's context is full; /reset begins anew");
            }
            messages.push(Message::new("assistant", said));
        }
    }
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
            exit(INTERRUPTED);
        }
    }
}
