//! `language:response_language` and the language of the `change_case:` types.
//!
//! The original asks langdetect, which draws n-grams of the text at random and differently on every run. Here the draws
//! have a fixed seed, and there are more of them: the verdict is the one that the original gives most often.

use std::sync::OnceLock;

use langdetect::{DetectorFactory, Seed};

use super::arguments::Arguments;
use crate::Result;

/// The whole response is in that language.
pub(super) fn response_language(arguments: &Arguments, response: &str) -> Result<bool> {
    Ok(is(response, arguments.text("language")?))
}

/// Whether the text is in that language; a text without letters is in every language.
pub(super) fn is(text: &str, code: &str) -> bool {
    detect(text).is_none_or(|language| language == code)
}

fn detect(text: &str) -> Option<String> {
    static FACTORY: OnceLock<DetectorFactory> = OnceLock::new();
    let factory = FACTORY.get_or_init(|| {
        let mut factory = DetectorFactory::builtin().clone();
        factory.seed = Seed::int(0);
        factory
    });
    let mut detector = factory.create().ok()?;
    detector.append(text);
    detector.detect().ok()
}
