//! Enums that tables, drawings and claims write as words: one list of variants and names prints and parses them.

/// Declares an enum with the name of each variant, as in `"nats" => Nats`; it prints as that name, and serde reads and
/// writes it so.
macro_rules! named {
    ($(#[$about:meta])* $vis:vis enum $Type:ident { $($(#[$doc:meta])* $Variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        $vis enum $Type {
            $($(#[$doc])* #[serde(rename = $name)] $Variant),+
        }

        impl $Type {
            /// All of them.
            #[allow(dead_code, reason = "not all enums are gone through")]
            $vis const ALL: &'static [Self] = &[$(Self::$Variant),+];

            /// Its name in tables.
            $vis const fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name),+
                }
            }
        }

        impl std::fmt::Display for $Type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

pub(crate) use named;

#[cfg(test)]
mod tests {
    use crate::Table;
    use crate::study::scoring::Dataset;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Words {
        dataset: Dataset,
    }

    #[test]
    fn every_name_is_read_back_as_what_it_names() {
        let rows: Vec<Words> = Dataset::ALL.iter().map(|dataset| Words { dataset: *dataset }).collect();
        let table = Table::from_rows(&rows).unwrap();
        assert_eq!(table.rows::<Words>().unwrap(), rows);
        let names: Vec<&str> = Dataset::ALL.iter().map(|dataset| dataset.name()).collect();
        assert_eq!(names, ["alpaca", "gsm8k"]);
    }

    #[test]
    fn an_unknown_name_is_an_error_that_says_what_is_wanted() {
        let table = Table::from_csv("dataset\nfurlongs\n").unwrap();
        let error = format!("{:#}", table.rows::<Words>().unwrap_err());
        assert!(error.contains("unknown variant `furlongs`, expected `alpaca` or `gsm8k`"), "{error}");
    }
}
