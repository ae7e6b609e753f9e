//! Moments in universal time: what chat templates take for now, and when a result was made.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment in universal time, so that it is written alike on every machine: seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(u64);

/// Seconds.
const DAY: u64 = 86_400;

impl Default for Moment {
    /// 26 July 2024: what the templates of Llama 3.1 and 3.2 write where they cannot ask for the day.
    fn default() -> Self {
        Self::at(19_930 * DAY)
    }
}

impl FromStr for Moment {
    type Err = String;

    /// The beginning of a day, `2024-07-26`.
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Vec<u64> = text.split('-').map_while(|part| part.parse().ok()).collect();
        let moment = match numbers[..] {
            [year @ 1970..10_000, month @ 1..=12, day @ 1..=31] => {
                let months: u64 = lengths(year)[..month as usize - 1].iter().sum();
                Some(Self((days_before(year) + months + day - 1) * DAY))
            }
            _ => None,
        };
        // The 30th of February is written otherwise.
        moment
            .filter(|moment| moment.to_string() == text)
            .ok_or_else(|| format!("`{text}` is no day from 1970 on, written like 2024-07-26"))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0 / DAY);
        write!(f, "{year}-{month:02}-{day:02}")
    }
}

impl Moment {
    /// So many seconds after the beginning of 1970.
    pub const fn at(seconds: u64) -> Self {
        Self(seconds)
    }

    /// The present one.
    pub fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs()))
    }

    /// To the second, as in ISO 8601: `2024-07-26T00:00:00Z`.
    pub fn timestamp(self) -> String {
        let seconds = self.0 % DAY;
        format!("{self}T{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    /// As `strftime` of a Python `datetime` without a time zone writes it, in English. The error names a directive that is
    /// unknown here.
    pub fn strftime(self, format: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = format;
        while let Some((before, after)) = rest.split_once('%') {
            out.push_str(before);
            let padding = after.chars().next().filter(|c| "-_0".contains(*c));
            let directive = &after[padding.map_or(0, char::len_utf8)..];
            let Some(letter) = directive.chars().next() else {
                // As in C: an end within a directive is text.
                out.push('%');
                rest = after;
                break;
            };
            let piece = self.piece(letter).ok_or_else(|| {
                let flag = padding.map(String::from).unwrap_or_default();
                format!(
                    "strftime: the directive %{flag}{letter} is unknown; those known are {DIRECTIVES}, with a - for no padding"
                )
            })?;
            let _ = match (piece, padding) {
                (Piece::Text(text), _) => write!(out, "{text}"),
                (Piece::Number(value, width, fill), padding) => match padding.unwrap_or(fill) {
                    '0' => write!(out, "{value:0width$}"),
                    '_' => write!(out, "{value:width$}"),
                    _ => write!(out, "{value}"),
                },
                (Piece::Format(format), _) => write!(out, "{}", self.strftime(format)?),
            };
            rest = &directive[letter.len_utf8()..];
        }
        Ok(out + rest)
    }

    /// What a directive writes.
    fn piece(self, letter: char) -> Option<Piece> {
        use Piece::{Format, Number, Text};
        let (days, seconds) = (self.0 / DAY, self.0 % DAY);
        let (year, month, day) = civil(days);
        let of_year = days - days_before(year);
        // 1 January 1970 was a Thursday.
        let weekday = (days + 4) % 7;
        let since_monday = (weekday + 6) % 7;
        let hour = seconds / 3600;
        let of_twelve = (hour + 11) % 12 + 1;
        // Number of the week that began so many days ago; days before the year's first such week are in week 0.
        let week = |days_ago: u64| (of_year + 7 - days_ago) / 7;
        // ISO 8601: a week belongs to the year of its Thursday.
        let thursday = days + 3 - since_monday;
        let (iso_year, ..) = civil(thursday);
        let name = DAYS[weekday as usize];
        let month_name = MONTHS[month - 1];
        Some(match letter {
            'Y' => Number(year, 4, '0'),
            'C' => Number(year / 100, 2, '0'),
            'y' => Number(year % 100, 2, '0'),
            'm' => Number(month as u64, 2, '0'),
            'd' => Number(day, 2, '0'),
            'e' => Number(day, 2, '_'),
            'j' => Number(of_year + 1, 3, '0'),
            'H' => Number(hour, 2, '0'),
            'k' => Number(hour, 2, '_'),
            'I' => Number(of_twelve, 2, '0'),
            'l' => Number(of_twelve, 2, '_'),
            'M' => Number(seconds / 60 % 60, 2, '0'),
            'S' => Number(seconds % 60, 2, '0'),
            's' => Number(self.0, 1, '0'),
            'u' => Number(since_monday + 1, 1, '0'),
            'w' => Number(weekday, 1, '0'),
            'U' => Number(week(weekday), 2, '0'),
            'W' => Number(week(since_monday), 2, '0'),
            'V' => Number((thursday - days_before(iso_year)) / 7 + 1, 2, '0'),
            'G' => Number(iso_year, 4, '0'),
            'g' => Number(iso_year % 100, 2, '0'),
            'A' => Text(name),
            'a' => Text(&name[..3]),
            'B' => Text(month_name),
            'b' | 'h' => Text(&month_name[..3]),
            'p' => Text(if hour < 12 { "AM" } else { "PM" }),
            'P' => Text(if hour < 12 { "am" } else { "pm" }),
            'f' => Text("000000"),
            'z' | 'Z' => Text(""),
            'n' => Text("\n"),
            't' => Text("\t"),
            '%' => Text("%"),
            'c' => Format("%a %b %e %H:%M:%S %Y"),
            'D' | 'x' => Format("%m/%d/%y"),
            'F' => Format("%Y-%m-%d"),
            'R' => Format("%H:%M"),
            'r' => Format("%I:%M:%S %p"),
            'T' | 'X' => Format("%H:%M:%S"),
            _ => return None,
        })
    }
}

/// What a directive of `strftime` writes.
enum Piece {
    Text(&'static str),
    /// A number of at least so many characters, filled with `0` or (`_`) with blanks.
    Number(u64, usize, char),
    /// What another format writes.
    Format(&'static str),
}

/// The directives of `strftime`.
const DIRECTIVES: &str = "%Y %y %C %G %g %m %B %b %h %d %e %j %U %W %V %A %a %u %w %H %k %I %l %M %S %s %f %p %P %z %Z %c \
                          %D %x %F %R %r %T %X %n %t %%";

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Days from 1970 to the first of January of a year.
fn days_before(year: u64) -> u64 {
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    (year - 1970) * 365 + leaps(year - 1) - leaps(1969)
}

/// Days of a year's months.
fn lengths(year: u64) -> [u64; 12] {
    let leap = days_before(year + 1) - days_before(year) == 366;
    [31, 28 + u64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

/// Year, month (from 1) and day (from 1).
fn civil(days: u64) -> (u64, usize, u64) {
    // Never too late, and at most one year too early in the first centuries after 1970.
    let mut year = 1970 + days / 366;
    while days_before(year + 1) <= days {
        year += 1;
    }
    let mut day = days - days_before(year);
    for (month, length) in (1..).zip(lengths(year)) {
        if day < length {
            return (year, month, day + 1);
        }
        day -= length;
    }
    unreachable!("a year's months cover its days")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_python_writes_them() {
        // python3 -c "import datetime as d; print(d.datetime.fromtimestamp(…, d.UTC).strftime(…))"
        let strftime = |seconds, format| Moment::at(seconds).strftime(format).unwrap();
        assert_eq!(strftime(0, "%A %d %b %Y"), "Thursday 01 Jan 1970");
        assert_eq!(strftime(951_782_400, "%a %d %B %y, day %j"), "Tue 29 February 00, day 060");
        assert_eq!(strftime(1_735_689_599, "%F %T %H%M%S %%"), "2024-12-31 23:59:59 235959 %");
        assert_eq!(strftime(4_107_542_400, "%F"), "2100-03-01");
        assert_eq!(Moment::at(1_735_689_599).timestamp(), "2024-12-31T23:59:59Z");
        let all = "%Y %y %C %G %g %m %B %b %h %d %e %j %U %W %V %A %a %u %w %H %k %I %l %M %S %f %p %P|%z|%Z|%c|%D|%x|%F|%R|%r|%T|%X|%n|%t|%%";
        let unpadded = "%-Y %-y %-C %-G %-g %-m %-B %-d %-e %-j %-U %-W %-V %-u %-w %-H %-k %-I %-l %-M %-S %-p|%-D|%-c %";
        let otherwise = "%_m %_d %_H %_j %_y %_D %0e %0k %0l %_U|%-%|%-n|%_p|%-";
        for (seconds, of_all, of_unpadded, of_otherwise) in [
            (
                0,
                "1970 70 19 1970 70 01 January Jan Jan 01  1 001 00 00 01 Thursday Thu 4 4 00  0 12 12 00 00 000000 AM am|||Thu Jan  1 00:00:00 1970|01/01/70|01/01/70|1970-01-01|00:00|12:00:00 AM|00:00:00|00:00:00|\n|\t|%",
                "1970 70 19 1970 70 1 January 1 1 1 0 0 1 4 4 0 0 12 12 0 0 AM|01/01/70|Thu Jan  1 00:00:00 1970 %",
                " 1  1  0   1 70 01/01/70 01 00 12  0|%|\n|AM|%-",
            ),
            (
                951_782_400,
                "2000 00 20 2000 00 02 February Feb Feb 29 29 060 09 09 09 Tuesday Tue 2 2 00  0 12 12 00 00 000000 AM am|||Tue Feb 29 00:00:00 2000|02/29/00|02/29/00|2000-02-29|00:00|12:00:00 AM|00:00:00|00:00:00|\n|\t|%",
                "2000 0 20 2000 0 2 February 29 29 60 9 9 9 2 2 0 0 12 12 0 0 AM|02/29/00|Tue Feb 29 00:00:00 2000 %",
                " 2 29  0  60  0 02/29/00 29 00 12  9|%|\n|AM|%-",
            ),
            (
                1_735_689_599,
                "2024 24 20 2025 25 12 December Dec Dec 31 31 366 52 53 01 Tuesday Tue 2 2 23 23 11 11 59 59 000000 PM pm|||Tue Dec 31 23:59:59 2024|12/31/24|12/31/24|2024-12-31|23:59|11:59:59 PM|23:59:59|23:59:59|\n|\t|%",
                "2024 24 20 2025 25 12 December 31 31 366 52 53 1 2 2 23 23 11 11 59 59 PM|12/31/24|Tue Dec 31 23:59:59 2024 %",
                "12 31 23 366 24 12/31/24 31 23 11 52|%|\n|PM|%-",
            ),
        ] {
            assert_eq!(strftime(seconds, all), of_all);
            assert_eq!(strftime(seconds, unpadded), of_unpadded);
            assert_eq!(strftime(seconds, otherwise), of_otherwise);
        }
    }

    #[test]
    fn an_unknown_directive_is_an_error_that_lists_the_known_ones() {
        let strftime = |format| Moment::default().strftime(format);
        for (format, named) in [("%d %q", "%q"), ("%-Q", "%-Q"), ("%^a", "%^"), ("%5d", "%5"), ("%é", "%é")]
        {
            let error = strftime(format).unwrap_err();
            assert!(error.starts_with(&format!("strftime: the directive {named} is unknown; ")), "{error}");
        }
        for directive in DIRECTIVES.split(' ') {
            strftime(directive).unwrap();
        }
        let letters = (0..=127_u8).map(char::from).filter(|c| !"-_0".contains(*c));
        let known = letters.filter(|letter| Moment::default().piece(*letter).is_some());
        assert_eq!(known.count(), DIRECTIVES.split(' ').count());
    }

    #[test]
    fn days_are_read_as_they_are_written() {
        assert_eq!(Moment::default().to_string(), "2024-07-26");
        assert_eq!("2024-07-26".parse(), Ok(Moment::default()));
        for day in (0..3_000_000 / 7).map(|week| Moment::at(week * 7 * DAY)) {
            if day.to_string().len() == 10 {
                assert_eq!(day.to_string().parse(), Ok(day));
            }
        }
        for wrong in [
            "",
            "today",
            "1969-12-31",
            "2024-7-26",
            "2023-02-29",
            "2024-13-01",
            "2024-00-10",
            "2024-01-00",
            "2024-01-32",
            "26-07-2024",
            "2024-07-26T00:00",
            "2024-07-26-1",
            "99999999999999999999-01-01",
        ] {
            let error = wrong.parse::<Moment>().unwrap_err();
            assert_eq!(error, format!("`{wrong}` is no day from 1970 on, written like 2024-07-26"));
        }
    }
}
