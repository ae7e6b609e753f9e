//! `language:response_language` and the language of the `change_case:` types.
//!
//! The original uses langdetect, which samples n-grams of the text with a new seed on every run. Here a port of langdetect
//! with the same sampling uses seed 0, so that a verdict never changes and equals Python's with that seed.

use std::sync::OnceLock;

use langdetect::{DetectorFactory, Seed};

use super::arguments::Arguments;
use crate::Result;

/// The whole response is in the given language.
pub(super) fn response_language(arguments: &Arguments, response: &str) -> Result<bool> {
    Ok(is(response, arguments.text("language")?))
}

/// Whether the text is in the language; a text without letters counts as being in every language.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::ifeval::follows;

    #[test]
    fn languages_are_told_apart() {
        for (code, text) in [
            ("en", "This is a sentence about the weather in the north of the country."),
            ("de", "Das ist ein Satz über das Wetter im Norden des Landes."),
            ("sw", "Hii ni sentensi kuhusu hali ya hewa kaskazini mwa nchi."),
            ("hi", "यह देश के उत्तर में मौसम के बारे में एक वाक्य है।"),
            ("mr", "हे देशाच्या उत्तरेकडील हवामानाबद्दलचे एक वाक्य आहे."),
            ("ko", "이것은 나라 북쪽의 날씨에 대한 문장입니다."),
        ] {
            assert!(follows("language:response_language", json!({"language": code}), text), "{code}");
            assert!(!follows("language:response_language", json!({"language": "fi"}), text), "{code}");
        }
    }

    #[test]
    fn without_letters_any_language_will_do() {
        assert!(follows("language:response_language", json!({"language": "fi"}), "1 2 3 ..."));
    }
}
