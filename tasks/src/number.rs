//! Finding the number that an answer gives in its text.

use crate::pattern::pattern;

/// The number after the first `#### `, under the strict rule of lm-evaluation-harness's task `gsm8k`.
pub fn strict(text: &str) -> Option<&str> {
    pattern!(RULE, r"#### (-?[0-9.,]+)");
    RULE.captures(text).and_then(|found| found.get(1)).map(|found| found.as_str())
}

/// The last match of the number pattern of that task's flexible rule.
pub fn flexible(text: &str) -> Option<&str> {
    pattern!(RULE, r"-?[$0-9.,]{2,}|-?[0-9]+");
    RULE.find_iter(text).last().map(|found| found.as_str())
}

/// Whether two numbers are equal for that task: as texts, without commas, dollar signs and a final full stop.
pub fn same_text(found: &str, key: &str) -> bool {
    let plain = |text: &str| {
        let text = text.rsplit_once("#### ").map_or(text, |(_, last)| last).replace([',', '$'], "");
        text.strip_suffix('.').unwrap_or(&text).to_lowercase()
    };
    plain(found) == plain(key)
}

/// The last number after a reply's last `####`, or of the whole reply if it has none: its decimal digits without leading
/// zeros and without zeros at the end of a fraction, so that equal numbers are equal texts. Commas may separate thousands;
/// other commas separate numbers, and `12,3456` ends in 3456. Currency, units, percent signs and dots around the number are
/// ignored. A minus counts if it stands directly before the number or its currency sign; with a blank behind it, it is a
/// bullet or a subtraction.
pub fn last(text: &str) -> Option<String> {
    pattern!(RULE, r"([-−])?(?:[$€£¥]\s?)?(-)?([0-9]+(?:,[0-9]+)*(?:\.[0-9]+)?|\.[0-9]+)");
    pattern!(GROUPED, r"^[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?$");
    let marked = text.rsplit_once("####").map(|(_, answer)| answer);
    let of = |text: &str| {
        let found = RULE.captures_iter(text).last()?;
        let digits = &found[3];
        if let Some((_, last)) = digits.rsplit_once(',').filter(|_| !GROUPED.is_match(digits)) {
            return Some(canonical(last, false));
        }
        // A minus directly after a digit or a letter is a subtraction: in `12-5` the last number is 5.
        let before = text[..found.get(0)?.start()].chars().next_back();
        let subtracts = before.is_some_and(|before| before.is_alphanumeric() || before == ')');
        let negative = found.get(2).is_some() || (found.get(1).is_some() && !subtracts);
        Some(canonical(&digits.replace(',', ""), negative))
    };
    marked.and_then(of).or_else(|| of(text))
}

fn canonical(digits: &str, negative: bool) -> String {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let sign = if negative && !(whole.is_empty() && fraction.is_empty()) { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_as_people_write_them() {
        for (text, number) in [
            ("#### 18", "18"),
            ("so she has $1,234.50.", "1234.5"),
            ("#### $-5", "-5"),
            ("#### -$5", "-5"),
            ("12-5", "5"),
            ("it is −7 degrees", "-7"),
            ("25% of them", "25"),
            ("12 apples, 3,5", "5"),
            ("18.00", "18"),
            (".5 cups", "0.5"),
            ("#### 7 and then 8 #### 9 km.", "9"),
            ("5 #### none", "5"),
            ("1,000,000", "1000000"),
            ("12,3456", "3456"),
            ("-3,5", "5"),
            ("007.50", "7.5"),
            ("-0.00", "0"),
            ("1234567890123456789", "1234567890123456789"),
        ] {
            assert_eq!(last(text).as_deref(), Some(number), "{text}");
        }
        assert_eq!(last("no number, $, -."), None);
    }

    #[test]
    fn a_minus_with_a_blank_behind_it_is_no_sign() {
        for (text, number) in [
            ("- 18 dollars", "18"),
            ("20 - 2", "2"),
            ("20 − 2", "2"),
            ("- $18", "18"),
            ("it is -18", "-18"),
            ("-$ 18", "-18"),
            ("$ -18", "-18"),
            ("- -18", "-18"),
        ] {
            assert_eq!(last(text).as_deref(), Some(number), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in any::<String>(), near in "[-−$€#0-9., %a]{0,24}") {
            for text in [text, near] {
                last(&text);
                if let Some(found) = flexible(&text) {
                    same_text(found, &text);
                }
                strict(&text);
            }
        }

        #[test]
        fn a_written_number_is_read_back(number in -1_000_000i64..1_000_000, cents in 0u8..100) {
            let grouped = {
                let digits = number.unsigned_abs().to_string();
                let mut out = String::new();
                for (index, digit) in digits.chars().enumerate() {
                    if index > 0 && (digits.len() - index) % 3 == 0 {
                        out.push(',');
                    }
                    out.push(digit);
                }
                out
            };
            let sign = if number < 0 { "-" } else { "" };
            let value = (number.unsigned_abs() as f64 + f64::from(cents) / 100.0) * if number < 0 { -1.0 } else { 1.0 };
            let found = last(&format!("3 and 4\n#### {sign}${grouped}.{cents:02} in all.")).unwrap();
            let found: f64 = found.parse().unwrap();
            prop_assert!((found - value).abs() < 1e-6, "{} {}", found, value);
        }
    }
}
