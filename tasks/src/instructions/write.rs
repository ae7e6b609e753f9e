//! Short texts about a topic that do what they are told.

use std::sync::LazyLock;

use super::constraint::Constraint;
use crate::Stream;

/// A thing to write about; of each line in the list: the thing, three parts, two uses, where it is, how it is.
pub(super) struct Topic {
    pub(super) name: &'static str,
    parts: [&'static str; 3],
    uses: [&'static str; 2],
    place: &'static str,
    quality: &'static str,
}

static TOPICS: LazyLock<Vec<Topic>> = LazyLock::new(|| {
    let topic = |line: &'static str| {
        let mut fields = line.split('|');
        let mut next = || fields.next().unwrap_or_default();
        Topic {
            name: next(),
            parts: [next(), next(), next()],
            uses: [next(), next()],
            place: next(),
            quality: next(),
        }
    };
    include_str!("topics.txt").lines().map(topic).collect()
});

/// Topics of the test split: the last ones of the list.
const TEST: usize = 12;

/// The topics to train on, or those to test on.
pub(super) fn topics(test: bool) -> &'static [Topic] {
    let (train, unseen) = TOPICS.split_at(TOPICS.len() - TEST);
    if test { unseen } else { train }
}

pub(super) const REQUESTS: [&str; 8] = [
    "Write a short text about {t}.",
    "Tell me something about {t}.",
    "Describe {t} to a child.",
    "What can you say about {t}?",
    "Write a few lines for a school magazine about {t}.",
    "Explain why people care about {t}.",
    "I need a small article about {t}.",
    "Give me your thoughts on {t}.",
];

const SENTENCES: [&str; 26] = [
    "{T} are {q}.",
    "Many people like {t}.",
    "You find {t} {p}.",
    "They are good for {u}.",
    "Some use them for {v}.",
    "The {a} and the {b} catch the eye first.",
    "Without {c} they would not be the same.",
    "My grandmother often spoke about {t}.",
    "Whoever looks at the {a} for a while learns a lot.",
    "There is a reason why {t} are so popular.",
    "I like the {b} best.",
    "Their {c} are easy to recognise.",
    "{T} can be {q} and still surprise you.",
    "People have known them for hundreds of years.",
    "It is hard to imagine life without them.",
    "If you have time for {u}, you will enjoy them.",
    "In the morning, {t} look different.",
    "First come the {a}, then the {b}, and at last the {c}.",
    "Not everybody agrees, but most people call them {q}.",
    "Every child can draw the {a} of {t}.",
    "Experts say that {v} becomes more common each year.",
    "One should take care of the {b}.",
    "A friend of mine knows all about the {c}.",
    "That is why {t} matter.",
    "Visitors look for them {p}.",
    "Nothing is better than {u} on a free day.",
];

impl Topic {
    fn fill(&self, template: &str) -> String {
        let capital = |text: &str| {
            let mut letters = text.chars();
            letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
        };
        [
            ("{T}", capital(self.name).as_str()),
            ("{t}", self.name),
            ("{a}", self.parts[0]),
            ("{b}", self.parts[1]),
            ("{c}", self.parts[2]),
            ("{u}", self.uses[0]),
            ("{v}", self.uses[1]),
            ("{p}", self.place),
            ("{q}", self.quality),
        ]
        .iter()
        .fold(template.to_owned(), |text, (slot, filling)| text.replace(slot, filling))
    }

    pub(super) fn request(&self, stream: &mut Stream) -> String {
        self.fill(stream.choose::<&str>(&REQUESTS))
    }
}

/// A text that should meet all constraints; whether it does is for their checks to say.
pub(super) fn write(stream: &mut Stream, topic: &Topic, constraints: &[Constraint]) -> String {
    use Constraint as C;
    let has = |wanted: &C| constraints.contains(wanted);
    let mut templates: Vec<&str> = SENTENCES.to_vec();
    stream.shuffle(&mut templates);
    let mut sentences: Vec<String> = templates.iter().map(|template| topic.fill(template)).collect();
    let (mut length, mut paragraphs, mut bullets) = (stream.between(3, 7) as usize, 1, false);
    for constraint in constraints {
        match constraint {
            C::NoComma => sentences.retain(|sentence| !sentence.contains(',')),
            C::Forbidden(words) => {
                sentences.retain(|sentence| !words.iter().any(|word| has_word(sentence, word)));
            }
            C::Often(word, times) => {
                let (with, without): (Vec<String>, Vec<String>) =
                    sentences.iter().cloned().partition(|sentence| has_word(sentence, word));
                sentences = [with, without].concat();
                length = length.max(*times);
            }
            _ => (),
        }
    }
    for constraint in constraints {
        match constraint {
            C::Words(words) => {
                sentences.splice(0..0, words.iter().map(|word| mention(stream, word))).for_each(drop);
            }
            C::Bullets(n) => (length, bullets) = (*n, true),
            C::Paragraphs(n) => (length, paragraphs) = (length.max(*n), *n),
            C::AtLeast(words) => length = length.max(enough(&sentences, *words)),
            C::LessThan(words) => length = enough(&sentences, words / 2).max(1),
            C::Sentences(n) => length = *n - 1,
            C::Highlights(n) => {
                length = length.max(*n);
                sentences.iter_mut().take(*n).for_each(|sentence| *sentence = highlight(sentence));
            }
            C::Placeholders(n) => {
                length = length.max(*n);
                for (sentence, slot) in sentences.iter_mut().zip(SLOTS).take(*n) {
                    *sentence = format!("{} This was written in [{slot}].", sentence.trim());
                }
            }
            _ => (),
        }
    }
    sentences.truncate(length.max(1));
    stream.shuffle(&mut sentences);
    let mut text = if bullets {
        sentences.iter().map(|sentence| format!("* {sentence}")).collect::<Vec<_>>().join("\n")
    } else {
        let size = sentences.len().div_ceil(paragraphs);
        sentences.chunks(size).map(|part| part.join(" ")).collect::<Vec<_>>().join("\n\n***\n\n")
    };
    for constraint in constraints {
        match constraint {
            C::Title => text = format!("<<{}>>\n\n{text}", topic.fill("All about {t}")),
            C::Postscript => text += &format!("\n\nP.S. {}", topic.fill("Think of {u} too.")),
            C::End(phrase) => text += &format!(" {phrase}"),
            _ => (),
        }
    }
    if has(&C::Lower) {
        text = text.to_lowercase();
    }
    if has(&C::Capitals) {
        text = text.to_uppercase();
    }
    if has(&C::Json) {
        text = serde_json::json!({ "topic": topic.name, "text": text }).to_string();
    }
    if has(&C::Quotes) { format!("\"{text}\"") } else { text }
}

const SLOTS: [&str; 5] = ["place", "year", "month", "country", "season"];

fn has_word(sentence: &str, word: &str) -> bool {
    sentence.split(|c: char| !c.is_alphanumeric()).any(|other| other.eq_ignore_ascii_case(word))
}

fn mention(stream: &mut Stream, word: &str) -> String {
    let frame: &str = stream.choose::<&str>(&[
        "It also makes me think of the word {w}.",
        "Somebody will surely mention {w} here.",
        "For me, {w} belongs to it.",
        "There is always some {w} in it.",
    ]);
    frame.replace("{w}", word)
}

/// How many of the sentences make so many words.
fn enough(sentences: &[String], words: usize) -> usize {
    let mut so_far = 0;
    let count = |sentence: &String| {
        so_far += sentence.split_whitespace().count();
        so_far >= words
    };
    sentences.iter().position(count).map_or(sentences.len(), |last| last + 1)
}

/// Its last words between asterisks.
fn highlight(sentence: &str) -> String {
    let words: Vec<&str> = sentence.trim_end_matches('.').split(' ').collect();
    let (before, end) = words.split_at(words.len().saturating_sub(2));
    let blank = if before.is_empty() { "" } else { " " };
    format!("{}{blank}*{}*.", before.join(" "), end.join(" "))
}
