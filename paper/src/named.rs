//! Enums that tables, drawings and claims write as words: one list of variants and names prints and parses them.

/// Declares an enum with the name of each variant, as in `"nats" => Nats`; it prints as that name, and serde reads and
/// writes it so.
macro_rules! named {
    ($(#[$about:meta])* $vis:vis enum $Type:ident { $($(#[$doc:meta])* $Variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        $vis enum $Type {
            $($(#[$doc])* $Variant),+
        }

        impl $Type {
            /// All of them.
            $vis const ALL: &'static [Self] = &[$(Self::$Variant),+];

            /// Its name in tables.
            $vis const fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name),+
                }
            }
        }

        $crate::named::print_and_parse!($Type, |name: &str| $Type::ALL.iter().copied().find(|one| one.name() == name));
    };
}

/// Display and serde for a type with a `name`, given how it is found by that name.
macro_rules! print_and_parse {
    ($Type:ident, $find:expr) => {
        impl std::fmt::Display for $Type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl serde::Serialize for $Type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $Type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = String::deserialize(deserializer)?;
                $find(&name).ok_or_else(|| {
                    let what = stringify!($Type).to_lowercase();
                    serde::de::Error::custom(format!("{name:?} is not the name of any {what}"))
                })
            }
        }
    };
}

pub(crate) use {named, print_and_parse};

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
        assert!(error.contains(r#""furlongs" is not the name of any dataset"#), "{error}");
    }
}
