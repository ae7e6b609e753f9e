//! The program bounds libgomp's spinning itself, whoever starts it. libgomp says at its start what it has read.

use std::process::Command;

use tokensieve_base::testing::skipped;

/// What libgomp reads where the program is started with this variable, and what the program prints.
fn started_with(variable: Option<(&str, &str)>) -> (Vec<String>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokensieve"));
    command.args(["objectives", "-p^10"]).env_remove("GOMP_SPINCOUNT").env_remove("OMP_WAIT_POLICY");
    let output = command.env("OMP_DISPLAY_ENV", "VERBOSE").envs(variable).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let read = String::from_utf8(output.stderr).unwrap();
    let limits = read.lines().filter_map(|line| line.split_once("GOMP_SPINCOUNT = "));
    (limits.map(|(_, limit)| limit.to_owned()).collect(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn libgomp_reads_a_limit_unless_somebody_has_decided() {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return skipped("only programs for Linux with glibc have libgomp");
    }
    let (limits, printed) = started_with(None);
    assert_eq!(limits, ["'1000'"]);
    assert!(printed.starts_with("-p^10: "), "the arguments are lost: {printed}");
    assert_eq!(started_with(Some(("GOMP_SPINCOUNT", "7"))).0, ["'7'"]);
    assert_ne!(started_with(Some(("OMP_WAIT_POLICY", "active"))).0, ["'1000'"]);
}
