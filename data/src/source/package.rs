//! Files inside a package: Debian's, through apt, and Python's, through pip. Their own clients download them, so that
//! the machine's settings (mirrors, proxies, certificates) apply. Neither needs root.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::provided::Provided;
use crate::folders::Folders;
use crate::progress::Progress;
use crate::sha256::sha256_of;

/// Python code that extracts one member of a wheel; where pip runs, python3 is installed.
const UNPACK: &str = "import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as member, open(sys.argv[3], 'wb') as out:
    shutil.copyfileobj(member, out, 1 << 20)";

/// A file of a Debian package: the installed one, else the package is downloaded and unpacked below `scratch`.
pub(super) fn debian(
    package: &str,
    path: &str,
    folders: &Folders,
    scratch: &Path,
    bar: &Progress,
) -> Result<Provided, String> {
    if Path::new(path).is_file() {
        return Ok(Provided::in_place(PathBuf::from(path)));
    }
    let unpacked = folders.cache.join("debian").join(package);
    let file = unpacked.join(&path[1..]);
    if !file.is_file() {
        bar.print(&format!("downloading Debian package {package}"));
        empty(scratch)?;
        download_debian(package, folders, scratch)?;
        let deb = only_file(scratch, "deb")?;
        let tree = scratch.join("tree");
        run(Command::new("dpkg-deb").arg("--extract").arg(&deb).arg(&tree))?;
        fs::create_dir_all(unpacked.parent().unwrap_or(&unpacked)).map_err(|error| error.to_string())?;
        let _ = fs::remove_dir_all(&unpacked);
        fs::rename(&tree, &unpacked).map_err(|error| format!("{}: {error}", unpacked.display()))?;
        let _ = fs::remove_dir_all(scratch);
    }
    if file.is_file() { Ok(Provided::in_place(file)) } else { Err(format!("the package has no file {path}")) }
}

/// Uses the system's package lists, or private ones where those are empty or outdated; that needs no root.
fn download_debian(package: &str, folders: &Folders, folder: &Path) -> Result<(), String> {
    let sandbox = ["-o", "APT::Sandbox::User=root"];
    let get = |private: &[String]| {
        run(Command::new("apt-get")
            .args(sandbox)
            .args(private)
            .args(["--quiet", "download", package])
            .current_dir(folder))
    };
    let Err(first) = get(&[]) else { return Ok(()) };
    if first.starts_with("apt-get is not") {
        return Err(first);
    }
    let apt = folders.cache.join("apt");
    fs::create_dir_all(apt.join("lists/partial")).map_err(|error| error.to_string())?;
    let private: Vec<String> = [
        format!("Dir::State::lists={}", apt.join("lists").display()),
        format!("Dir::Cache={}", apt.join("cache").display()),
        "Debug::NoLocking=true".to_owned(),
    ]
    .into_iter()
    .flat_map(|option| ["-o".to_owned(), option])
    .collect();
    run(Command::new("apt-get").args(sandbox).args(&private).args(["--quiet", "update"]))?;
    let outcome = get(&private);
    // Tens of megabytes that are outdated tomorrow.
    let _ = fs::remove_dir_all(&apt);
    outcome
}

/// A wheel of the Python package index.
pub(super) struct Wheel<'a> {
    pub(super) requirement: &'a str,
    pub(super) platform: Option<&'a str>,
    /// The file to extract; `None` for the wheel itself.
    pub(super) member: Option<&'a str>,
    /// The wheel's own hash, checked before it is unpacked.
    pub(super) sha256: Option<&'a str>,
}

impl Wheel<'_> {
    /// Downloads it below `scratch`.
    pub(super) fn provide(&self, scratch: &Path, bar: &Progress) -> Result<Provided, String> {
        bar.print(&format!("downloading Python package {}", self.requirement));
        empty(scratch)?;
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]);
        if let Some(platform) = self.platform {
            // The wheels are unpacked, never imported, so the Python they are for is a matter of naming only.
            pip.args(["--python-version=3.11", "--implementation=cp", "--platform", platform]);
        }
        run(pip.arg("--dest").arg(scratch).arg(self.requirement)).map_err(|reason| {
            let missing = reason.contains("No module named pip") || reason.starts_with("python3 is not");
            if missing { format!("{reason}; pip is needed: apt-get install python3-pip") } else { reason }
        })?;
        let wheel = only_file(scratch, "whl")?;
        let Some(member) = self.member else {
            return Ok(Provided { path: wheel, temporary: Some(scratch.to_owned()) });
        };
        if let Some(expected) = self.sha256 {
            let found = sha256_of(&wheel).map_err(|error| error.to_string())?;
            if found != expected {
                return Err(format!("the wheel has sha256 {found}, not {expected}"));
            }
        }
        let path = scratch.join("member");
        run(Command::new("python3").args(["-c", UNPACK]).arg(&wheel).arg(member).arg(&path))?;
        Ok(Provided { path, temporary: Some(scratch.to_owned()) })
    }
}

/// Whether apt is installed.
pub(super) fn has_apt() -> bool {
    run(Command::new("apt-get").arg("--version")).is_ok()
}

/// Whether pip is installed.
pub(super) fn has_pip() -> bool {
    run(Command::new("python3").args(["-m", "pip", "--version"])).is_ok()
}

fn empty(folder: &Path) -> Result<(), String> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", folder.display()))
        }
        _ => fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display())),
    }
}

fn only_file(folder: &Path, extension: &str) -> Result<PathBuf, String> {
    fs::read_dir(folder)
        .map_err(|error| error.to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension() == Some(OsStr::new(extension)))
        .ok_or_else(|| format!("the client downloaded no .{extension} file"))
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.env("LC_ALL", "C.UTF-8").output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("{name} is not installed"),
        _ => format!("{name}: {error}"),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("no error message");
    Err(format!("{name} failed: {last}"))
}
