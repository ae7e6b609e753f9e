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
        f.write_str(&self.strftime("%F"))
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

    /// As `datetime.strftime` of Python writes it, in English.
    pub fn strftime(self, format: &str) -> String {
        const DAYS: [&str; 7] =
            ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
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
        let (days, seconds) = (self.0 / DAY, self.0 % DAY);
        let (year, month, day) = civil(days);
        let of_year = days - days_before(year);
        // 1 January 1970 was a Thursday.
        let weekday = DAYS[(days as usize + 3) % 7];
        let name = MONTHS[month - 1];
        let mut out = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let _ = match chars.next() {
                Some('Y') => write!(out, "{year}"),
                Some('y') => write!(out, "{:02}", year % 100),
                Some('m') => write!(out, "{month:02}"),
                Some('d') => write!(out, "{day:02}"),
                Some('e') => write!(out, "{day:2}"),
                Some('B') => write!(out, "{name}"),
                Some('b' | 'h') => write!(out, "{}", &name[..3]),
                Some('A') => write!(out, "{weekday}"),
                Some('a') => write!(out, "{}", &weekday[..3]),
                Some('j') => write!(out, "{:03}", of_year + 1),
                Some('H') => write!(out, "{:02}", seconds / 3600),
                Some('M') => write!(out, "{:02}", seconds / 60 % 60),
                Some('S') => write!(out, "{:02}", seconds % 60),
                Some('F') => write!(out, "{year}-{month:02}-{day:02}"),
                Some('T') => {
                    write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
                }
                Some('%') | None => write!(out, "%"),
                Some(other) => write!(out, "%{other}"),
            };
        }
        out
    }
}

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
        let strftime = |seconds, format| Moment::at(seconds).strftime(format);
        assert_eq!(strftime(0, "%A %d %b %Y"), "Thursday 01 Jan 1970");
        assert_eq!(strftime(951_782_400, "%a %d %B %y, day %j"), "Tue 29 February 00, day 060");
        assert_eq!(strftime(1_735_689_599, "%F %T %H%M%S %% %q"), "2024-12-31 23:59:59 235959 % %q");
        assert_eq!(strftime(4_107_542_400, "%F"), "2100-03-01");
    }

    #[test]
    fn days_are_read_as_they_are_written() {
        assert_eq!(Moment::default().strftime("%d %b %Y"), "26 Jul 2024");
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
