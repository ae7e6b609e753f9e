//! Short texts about a topic that satisfy given constraints.

use super::constraint::Constraint;
use super::topic::Topic;
use tokensieve_base::streams::HashedStream;

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

/// A text written to satisfy all constraints; their checks decide whether it does.
pub(super) fn write(stream: &mut HashedStream, topic: &Topic, constraints: &[Constraint]) -> String {
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
            C::AtLeast(words) => length = length.max(sentences_for(&sentences, *words)),
            C::LessThan(words) => length = sentences_for(&sentences, words / 2).max(1),
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

fn mention(stream: &mut HashedStream, word: &str) -> String {
    let frame: &str = stream.choose::<&str>(&[
        "It also makes me think of the word {w}.",
        "Somebody will surely mention {w} here.",
        "For me, {w} belongs to it.",
        "There is always some {w} in it.",
    ]);
    frame.replace("{w}", word)
}

/// Number of leading sentences that together have at least `words` words.
fn sentences_for(sentences: &[String], words: usize) -> usize {
    let mut so_far = 0;
    let count = |sentence: &String| {
        so_far += sentence.split_whitespace().count();
        so_far >= words
    };
    sentences.iter().position(count).map_or(sentences.len(), |last| last + 1)
}

/// The sentence with its last two words between asterisks.
fn highlight(sentence: &str) -> String {
    let words: Vec<&str> = sentence.trim_end_matches('.').split(' ').collect();
    let (before, end) = words.split_at(words.len().saturating_sub(2));
    let blank = if before.is_empty() { "" } else { " " };
    format!("{}{blank}*{}*.", before.join(" "), end.join(" "))
}
