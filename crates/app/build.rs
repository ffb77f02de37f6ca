//! Embeds the pages of `web/`. A release builds them with npm when it is there; every other build takes
//! `web/dist` as `cargo xtask web` or npm left it, so that checking code never starts npm. Without
//! either the program has a page that says so.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a build script is told by the environment and answers on standard output"
)]

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// Files of the pages; more is a mistake.
const FILES_MAX: usize = 1_000;
/// What the pages are built from.
const SOURCES: [&str; 6] = [
    "index.html",
    "package.json",
    "package-lock.json",
    "src",
    "tsconfig.json",
    "vite.config.ts",
];

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    // As it is now: a build directory may be shared by several checkouts.
    let web = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../web");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-env-changed=LANDLINE_WEB_DIST");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", web.join(source).display());
    }
    // A path that is not there would be a change each time.
    if web.join("dist").exists() {
        println!("cargo::rerun-if-changed={}", web.join("dist").display());
    }
    let dist = match env::var_os("LANDLINE_WEB_DIST") {
        Some(dist) => PathBuf::from(dist),
        None => find_or_build(&web, &out),
    };
    let mut files = Vec::new();
    if dist.join("index.html").is_file() {
        list(&dist, &mut files)?;
    } else {
        println!("cargo::warning=the pages are left out: `cargo xtask web` builds them, with npm");
    }
    files.sort();
    fs::write(out.join("pages.rs"), table(&dist, &files)?)?;
    Ok(())
}

/// The files as a table in Rust: each with its tag and with what it is when compressed, which stands
/// beside it in a file with another ending.
fn table(dist: &Path, files: &[PathBuf]) -> Result<String, Failure> {
    let mut text = String::from("&[\n");
    let is_compressed = |file: &&PathBuf| {
        file.extension()
            .is_some_and(|end| end == "gz" || end == "br")
    };
    for file in files.iter().filter(|file| !is_compressed(file)) {
        let name = file.strip_prefix(dist)?.display().to_string();
        let mut hasher = DefaultHasher::new();
        hasher.write(&fs::read(file)?);
        let tag = format!("{:016x}", hasher.finish());
        let plain = included(file)?;
        let [gzip, brotli] = ["gz", "br"].map(|ending| {
            let path = PathBuf::from(format!("{}.{ending}", file.display()));
            if !path.is_file() {
                return Ok("None".to_owned());
            }
            Ok::<_, Failure>(format!("Some({})", included(&path)?))
        });
        let (gzip, brotli) = (gzip?, brotli?);
        writeln!(
            text,
            "    File {{ name: {name:?}, tag: {tag:?}, plain: {plain}, gzip: {gzip}, brotli: {brotli} }},"
        )?;
    }
    text.push_str("]\n");
    Ok(text)
}

fn included(file: &Path) -> Result<String, Failure> {
    let path = file.canonicalize()?.display().to_string();
    Ok(format!("include_bytes!({path:?})"))
}

fn find_or_build(web: &Path, out: &Path) -> PathBuf {
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if is_release && web.join("package-lock.json").is_file() {
        match build(web, &out.join("web")) {
            Ok(dist) => return dist,
            Err(error) => println!("cargo::warning=npm did not build the pages: {error}"),
        }
    }
    web.join("dist")
}

/// Builds in a copy: a checkout is not written to.
fn build(web: &Path, copy: &Path) -> Result<PathBuf, Failure> {
    if let Err(error) = fs::remove_dir_all(copy.join("src"))
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error.into());
    }
    fs::create_dir_all(copy)?;
    for source in SOURCES {
        copy_all(&web.join(source), &copy.join(source))?;
    }
    let npmrc = web.join(".npmrc");
    if npmrc.is_file() {
        fs::copy(npmrc, copy.join(".npmrc"))?;
    }
    for arguments in [
        ["ci", "--ignore-scripts", "--no-audit", "--no-fund"].as_slice(),
        &["run", "build"],
    ] {
        let output = Command::new("npm")
            .args(arguments)
            .current_dir(copy)
            .output()?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let last = text.lines().last().unwrap_or("no reason");
            return Err(format!("npm {}: {last}", arguments.join(" ")).into());
        }
    }
    Ok(copy.join("dist"))
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        fs::copy(from, to)?;
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_all(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
        if files.len() > FILES_MAX {
            return Err(format!("more than {FILES_MAX} files in {}", folder.display()).into());
        }
    }
    Ok(())
}
