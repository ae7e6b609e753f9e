//! The topics of the texts.

use std::sync::LazyLock;

use tokensieve_base::streams::HashedStream;

/// A topic. The fields of a line in `topics.txt` are: name, three parts, two uses, place, quality.
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

/// Number of topics in the test split: the last ones of the list.
const TEST: usize = 12;

/// The topics of the test split, or those of the training split.
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

impl Topic {
    pub(super) fn fill(&self, template: &str) -> String {
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

    pub(super) fn request(&self, stream: &mut HashedStream) -> String {
        self.fill(stream.choose::<&str>(&REQUESTS))
    }
}
