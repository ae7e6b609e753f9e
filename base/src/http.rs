//! The one HTTP client: `ureq` with the platform's own certificates, so that a company's or a test network's authority is
//! honoured. And what keeps keys and passwords out of messages and files: [`Secrets`] and [`without_password`].

pub use ureq::config::RedirectAuthHeaders;
pub use ureq::http::{HeaderMap, Response, StatusCode, header};
pub use ureq::{Agent, Body, Error, RequestBuilder};

use std::cmp::Reverse;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ureq::config::ConfigBuilder;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

/// Settings of an agent: a status that is an error comes back as an answer, since services explain themselves in its body.
/// The caller adds how long it waits.
///
/// ```
/// use std::time::Duration;
/// let agent = tokensieve_base::http::agent().timeout_global(Some(Duration::from_secs(5))).build().new_agent();
/// ```
pub fn agent() -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("tokensieve/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
}

/// Whether the host of an address is this machine, by name or number.
pub fn is_on_this_machine(address: &str) -> bool {
    let Ok(address) = address.parse::<Uri>() else { return false };
    let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|host| host.is_loopback())
}

/// In place of a secret.
const HIDDEN: &str = "***";

/// Bytes of the shortest secret that [`Secrets`] hides (choice). Shorter ones are parts of ordinary words, and of the
/// labels that a judge answers with.
const SHORTEST: usize = 4;

/// What a request is sent with and nobody is to read: a key, and the user and password in an address.
///
/// ```
/// use tokensieve_base::http::Secrets;
/// let secrets = Secrets::new("https://me:pass@example.org/v1", Some("sk-123"));
/// assert_eq!(secrets.hide("Incorrect API key provided: sk-123"), "Incorrect API key provided: ***");
/// ```
#[derive(Clone)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// Of requests to an address, with a key if they have one.
    pub fn new(address: &str, key: Option<&str>) -> Self {
        let mut all: Vec<String> = key.map(str::to_owned).into_iter().collect();
        if let Some(range) = user_and_password(address) {
            let both = &address[range];
            let (user, password) = both.split_once(':').unwrap_or((both, ""));
            // The last one as the client sends it.
            let sent = BASE64_STANDARD.encode(format!("{user}:{password}"));
            all.extend([both.to_owned(), user.to_owned(), password.to_owned(), sent]);
        }
        all.retain(|secret| secret.len() >= SHORTEST);
        // One may be part of another.
        all.sort_by_key(|secret| Reverse(secret.len()));
        Self(all)
    }

    /// The text with `***` in place of every occurrence of a secret. A text that a service may have written is to pass
    /// through this before it is shortened, printed or kept.
    pub fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({HIDDEN})")
    }
}

/// An address as it may be printed and kept: `***` in place of its user and password.
///
/// ```
/// use tokensieve_base::http::without_password;
/// assert_eq!(without_password("https://me:pass@example.org/v1"), "https://***@example.org/v1");
/// ```
pub fn without_password(address: &str) -> String {
    let mut address = address.to_owned();
    if let Some(range) = user_and_password(&address) {
        address.replace_range(range, HIDDEN);
    }
    address
}

/// Where the user and password of an address stand. The address may be mistyped: it is about to be shown in an error.
fn user_and_password(address: &str) -> Option<Range<usize>> {
    let start = address.find("://").map_or(0, |scheme| scheme + "://".len());
    let rest = &address[start..];
    let authority = rest.find(['/', '?', '#']).map_or(rest, |end| &rest[..end]);
    let after_number = authority.rfind(']').map_or(authority, |end| &authority[end + 1..]);
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let length = authority.rfind('@').or_else(|| {
        // `user:pass/word@host`: what looks like a port is the beginning of a password.
        let (_, port) = after_number.split_once(':')?;
        rest.rfind('@').filter(|_| !is_port(port))
    })?;
    Some(start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_addresses_are_hidden_and_nothing_else() {
        for (address, shown) in [
            ("https://me:pass@example.org/v1#m", "https://***@example.org/v1#m"),
            ("http://token@[::1]:8000/v1", "http://***@[::1]:8000/v1"),
            ("https://me:p@ss@example.org", "https://***@example.org"),
            ("https://:pass@example.org", "https://***@example.org"),
            // Mistyped.
            ("https://me:pa/ss@example.org/v1", "https://***@example.org/v1"),
            ("https://me:pa#s@s?@example.org/v1", "https://***@example.org/v1"),
            ("https:/me:pass@example.org/v1", "***@example.org/v1"),
            ("me:pass@example.org/v1#m", "***@example.org/v1#m"),
        ] {
            assert_eq!(without_password(address), shown, "{address}");
        }
        for address in [
            "https://example.org/v1#model@2",
            "http://localhost:8000/v1/@me#@cf/model",
            "http://[2001:db8::1]:80/v1#@cf/model",
            "http://[::1]/?@localhost",
            "somebody",
            "",
        ] {
            assert_eq!(without_password(address), address);
        }
    }

    #[test]
    fn secrets_are_hidden_as_they_were_given_and_as_they_are_sent() {
        let secrets = Secrets::new("https://martin:secret@example.org/v1", Some("sk-secret"));
        for (text, hidden) in [
            ("no sk-secret, no secret of martin", "no ***, no *** of ***"),
            ("https://martin:secret@example.org/v1 is missing", "https://***@example.org/v1 is missing"),
            ("authorization: Basic bWFydGluOnNlY3JldA==", "authorization: Basic ***"),
            ("sk-secretsk-secret", "******"),
        ] {
            assert_eq!(secrets.hide(text), hidden);
        }
        assert_eq!(format!("{secrets:?}"), "Secrets(***)");
        let token = Secrets::new("https://token-1@example.org", None);
        assert_eq!(token.hide("Basic dG9rZW4tMTo="), "Basic ***");
    }

    #[test]
    fn an_empty_or_very_short_secret_hides_no_words() {
        for key in [None, Some(""), Some("m")] {
            for address in ["https://example.org", "https://@example.org", "https://:@example.org"] {
                assert_eq!(Secrets::new(address, key).hide("model m"), "model m", "{address} {key:?}");
            }
        }
    }
}
