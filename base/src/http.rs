//! The one HTTP client: `ureq` with the platform's own certificates, so that a company's or a test network's authority is
//! honoured.

pub use ureq::config::RedirectAuthHeaders;
pub use ureq::http::{HeaderMap, Response, StatusCode, header};
pub use ureq::{Agent, Body, Error, RequestBuilder};

use std::net::IpAddr;

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
