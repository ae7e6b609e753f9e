//! The model under evaluation: replies by generation, likelihoods by a forward pass.

use std::cell::OnceCell;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use tokensieve_tasks::{Answer, Ask, Question, REASONING};

use super::score::{Scorer, batches_with};
use crate::generate::{Event, Generator, Options, Request, Sampling, Stop};
use tokensieve_model::head::{self, RowStats};
use tokensieve_model::text::{Conversation, Message, Tokenizer, Weights};
use tokensieve_model::{Document, Error, Model, Pack, Result};

/// Receives the place of a question, or the index of a request for a reply, and the answer.
pub(super) type OnAnswer<'a> = dyn FnMut(usize, Answer) -> Result<()> + 'a;

/// A model with its tokenizer, which answers questions.
#[derive(Debug)]
pub struct EvaluatedModel<'a> {
    model: &'a Model,
    tokenizer: &'a Tokenizer,
    options: Options,
    /// Created for the first reply, because it holds a second form of the weights.
    generator: OnceCell<Generator<'a>>,
    /// Computes the losses of documents.
    pub scorer: Scorer<'a>,
    interrupted: &'a AtomicBool,
}

impl<'a> EvaluatedModel<'a> {
    /// A model that generates replies with these options, and stops when `interrupted` becomes true.
    pub fn new(
        model: &'a Model,
        tokenizer: &'a Tokenizer,
        options: Options,
        interrupted: &'a AtomicBool,
    ) -> Self {
        let scorer = Scorer::new(model);
        Self { model, tokenizer, options, generator: OnceCell::new(), scorer, interrupted }
    }

    /// Becomes true when the evaluation is interrupted.
    pub(super) fn interrupted(&self) -> &'a AtomicBool {
        self.interrupted
    }

    /// Whether the evaluation has been interrupted.
    pub fn stopped(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Answers those of a task's questions whose places are `asked`, which are in order; `take` receives each answer as soon
    /// as it is given, in any order. Output that is not finite is an error that names task and question.
    pub fn answer(
        &mut self,
        task: &str,
        questions: &[Question],
        asked: &[usize],
        take: &mut OnAnswer<'_>,
    ) -> Result<()> {
        let is_likelihood = |place: &usize| matches!(questions[*place].ask, Ask::Likelihood { .. });
        let (likelihoods, replies): (Vec<usize>, Vec<usize>) = asked.iter().copied().partition(is_likelihood);
        self.read(task, questions, &likelihoods, take)?;
        let asked: Vec<(usize, u64)> = replies.iter().map(|place| (*place, 0)).collect();
        let mut take = |index: usize, answer| take(replies[index], answer);
        self.reply(task, questions, &asked, &Sampling::default(), &mut take)
    }

    /// Generates replies to questions, each given by its place and the reply's seed; `take` receives the reply's index.
    pub(super) fn reply(
        &self,
        task: &str,
        questions: &[Question],
        asked: &[(usize, u64)],
        sampling: &Sampling,
        take: &mut OnAnswer<'_>,
    ) -> Result<()> {
        if asked.is_empty() || self.stopped() {
            return Ok(());
        }
        let request = |(place, seed): &(usize, u64)| {
            Ok(Request { sampling: sampling.clone(), seed: *seed, ..self.request(&questions[*place])? })
        };
        let requests = asked.iter().map(request);
        let requests = requests.collect::<Result<Vec<_>>>()?;
        let mut taken = Ok(());
        let mut each = |index: usize, event: Event<'_>| {
            if let Event::Done(reply) = event {
                let prompt = &requests[index].prompt;
                let end = self.tokenizer.decode(&prompt[prompt.len().saturating_sub(4)..]);
                let answer = Answer::Reply {
                    text: end.as_deref().map_or("", begun).to_owned() + &reply.text,
                    tokens: reply.tokens.len(),
                    ended: matches!(reply.stop, Stop::EndOfTurn | Stop::Text(_)),
                };
                taken = take(index, answer);
            }
            if taken.is_err() || self.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let make = || Generator::new(self.model, self.tokenizer, self.options);
        let replied = self.generator.get_or_init(make).run(&requests, &mut each);
        replied.map_err(|failure| {
            let id = &questions[asked[failure.index].0].id;
            Error::Run(format!("{task}, question {id}: {}", failure.error))
        })?;
        taken
    }

    /// Number of tokens of its context.
    pub(super) fn context(&self) -> usize {
        self.model.config().max_positions as usize
    }

    /// How many questions leave no room for a reply in its context, or have a given reply that ends beyond it.
    pub(super) fn too_long(&self, questions: &[Question], asked: &[usize]) -> Result<usize> {
        let context = self.context();
        let is_too_long = |question: &Question| -> Result<bool> {
            Ok(match question.ask {
                Ask::Reply { .. } => self.request(question)?.prompt.len() >= context,
                Ask::Likelihood { .. } => {
                    self.documents(question)?.iter().any(|document| document.tokens.len() > context)
                }
            })
        };
        asked.iter().try_fold(0, |count, place| Ok(count + usize::from(is_too_long(&questions[*place])?)))
    }

    fn request(&self, question: &Question) -> Result<Request> {
        let Ask::Reply { limit, stop } = &question.ask else { unreachable!("filtered by kind") };
        let prompt = self.tokenizer.answer_prompt(&messages(question))?;
        Ok(Request { prompt, limit: *limit, stop: stop.clone(), ..Request::default() })
    }

    /// Computes the probabilities of given replies. The replies to one question share its tokens, and many questions share a
    /// forward pass.
    fn read(
        &mut self,
        task: &str,
        questions: &[Question],
        asked: &[usize],
        take: &mut OnAnswer<'_>,
    ) -> Result<()> {
        if asked.is_empty() {
            return Ok(());
        }
        let likelihoods: Vec<usize> = (0..questions.len())
            .filter(|place| matches!(questions[*place].ask, Ask::Likelihood { .. }))
            .collect();
        let asked: Vec<usize> = (0..likelihoods.len())
            .filter(|index| asked.binary_search(&likelihoods[*index]).is_ok())
            .collect();
        let documents =
            likelihoods.iter().map(|place| self.documents(&questions[*place])).collect::<Result<Vec<_>>>()?;
        let sizes = documents.iter().map(|documents| tokens_together(documents));
        for batch in batches_with(&asked, sizes) {
            if self.stopped() {
                break;
            }
            let packs: Vec<Pack> = documents[batch.clone()]
                .iter()
                .map(|documents| self.scorer.pack(&documents.iter().collect::<Vec<_>>()))
                .collect();
            for (index, scored) in batch.zip(self.scorer.score(&packs, &head::Request::default())) {
                if asked.binary_search(&index).is_err() {
                    continue;
                }
                if !scored.iter().flatten().all(RowStats::is_finite) {
                    let id = &questions[likelihoods[index]].id;
                    return Err(Error::not_finite(format!("{task}, question {id}")));
                }
                let of =
                    |stats: &Vec<RowStats>| stats.iter().map(|stats| (-stats.loss).exp() as f32).collect();
                let probabilities = scored.iter().map(of).collect();
                take(likelihoods[index], Answer::Likelihood { probabilities })?;
            }
        }
        Ok(())
    }

    fn documents(&self, question: &Question) -> Result<Vec<Document>> {
        let naming = |error| Error::Run(format!("question {}: {error}", question.id));
        documents(self.tokenizer, question).map_err(naming)
    }
}

/// The beginning of a reply that its prompt ends with: that of its reasoning, or none.
fn begun(prompt: &str) -> &'static str {
    if prompt.trim_end().ends_with(REASONING[0]) { REASONING[0] } else { "" }
}

/// How an answer begins before its own words, where the chat template or the prompt says: for most models nothing.
pub(super) fn answer_start(tokenizer: &Tokenizer) -> Option<String> {
    let [prompt, start] = tokenizer.answer_start(&[Message::new("user", "1")]).ok()?;
    let start = if start.is_empty() { begun(&prompt).to_owned() } else { start };
    (!start.is_empty()).then_some(start)
}

/// One document for each reply to a question.
pub(super) fn documents(tokenizer: &Tokenizer, question: &Question) -> Result<Vec<Document>> {
    let Ask::Likelihood { replies } = &question.ask else { unreachable!("filtered by kind") };
    let mut messages = messages(question);
    // Earlier answers are not predicted.
    for message in &mut messages {
        message.weights = Weights::All(0.0);
    }
    let document = |reply: &String| {
        let mut messages = messages.clone();
        let weights = Weights::OwnWords;
        messages.push(Message { weights, ..Message::new("assistant", reply.as_str()) });
        tokenizer.document(&Conversation::chat(messages), 0)
    };
    replies.iter().map(document).collect()
}

fn messages(question: &Question) -> Vec<Message> {
    question.messages.iter().map(|turn| Message::new(turn.role.as_str(), turn.content.as_str())).collect()
}

/// Approximate number of tokens in the pack of these documents.
fn tokens_together(documents: &[Document]) -> usize {
    let longest = documents.iter().map(|document| document.tokens.len()).max().unwrap_or(0);
    longest + documents.iter().map(Document::response_tokens).sum::<usize>()
}
