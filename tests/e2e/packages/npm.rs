//! The npm packages, from a registry of the test's own: npm chooses the platform's package by itself.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use super::{Packages, run};

/// What the test's registry has: path and content.
type Shelf = Vec<(String, Vec<u8>)>;

/// A registry that answers what stands on the shelf, and 404. Returns its address, and what was asked for.
fn registry(shelf: impl FnOnce(&str) -> Shelf) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (shelf, asked) = (shelf(&url), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&asked);
    // It lives as long as the test's process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = answer(&stream.unwrap(), &shelf, &seen);
        }
    });
    (url, asked)
}

fn answer(mut stream: &TcpStream, shelf: &Shelf, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let found = shelf.iter().find(|(name, _)| *name == path);
    asked.lock().unwrap().push(path);
    let (status, body) = found.map_or(("404 Not Found", &b"{}"[..]), |(_, body)| ("200 OK", &body[..]));
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len())?;
    stream.write_all(body)
}

/// A package's own manifest.
fn manifest(packages: &Packages, archive: &Path) -> Value {
    packages.tool("tar", &["-xzOf", archive.to_str().unwrap(), "package/package.json"]).json()
}

/// What a registry tells of a package with one version.
fn entry(url: &str, archive: &str, manifest: &Value) -> (String, Vec<u8>) {
    let (name, version) = (manifest["name"].as_str().unwrap(), manifest["version"].as_str().unwrap());
    let mut told = manifest.clone();
    told["dist"] = json!({ "tarball": format!("{url}/{archive}") });
    let told = json!({ "name": name, "dist-tags": { "latest": version }, "versions": { version: told } });
    (format!("/{name}"), told.to_string().into_bytes())
}

#[test]
fn the_npm_packages_install_and_only_the_platforms_own() {
    let packages = Packages::build("npm");
    let manifests: Vec<Value> = packages.files.iter().map(|file| manifest(&packages, file)).collect();
    let (main, own) = (&manifests[0], &manifests[1]);
    let (name, own_name) = (main["name"].as_str().unwrap(), own["name"].as_str().unwrap());
    let others = main["optionalDependencies"].as_object().unwrap();
    assert!(others.contains_key(own_name) && others.len() == 4, "{main}");
    assert!(others.values().all(|version| *version == main["version"]), "exactly its own version: {main}");

    let (url, asked) = registry(|url| {
        let mut shelf = Shelf::new();
        for (file, manifest) in packages.files.iter().zip(&manifests) {
            let archive = file.file_name().unwrap().to_str().unwrap();
            shelf.push(entry(url, archive, manifest));
            shelf.push((format!("/{archive}"), std::fs::read(file).unwrap()));
        }
        // Those of other platforms: told of, and never to be fetched.
        for other in others.keys().filter(|other| *other != own_name) {
            let (_, platform) = other.rsplit_once("recorder-").unwrap();
            let (os, cpu) = platform.split_once('-').unwrap();
            let manifest = json!({ "name": other, "version": own["version"], "os": [os], "cpu": [cpu] });
            shelf.push(entry(url, &format!("{other}.tgz"), &manifest));
        }
        shelf
    });
    let prefix = packages.home.ccd().with_file_name("prefix");
    let (at, cache) = (prefix.to_str().unwrap(), packages.home.work().join("npm"));
    let said = packages.tool(
        "npm",
        &["install", "-g", "--prefix", at, "--registry", &url, "--cache", cache.to_str().unwrap(), name],
    );
    let fetched: Vec<String> =
        asked.lock().unwrap().iter().filter(|path| path.contains(".tgz")).cloned().collect();
    assert_eq!(fetched.len(), 2, "{fetched:?} {said}");

    let modules = prefix.join("lib/node_modules").join(name);
    let bin = modules.join("node_modules").join(own_name).join("bin");
    assert!(
        prefix.join("share/man/man1/ccctl-usage.1").is_file()
            && prefix.join("share/man/man8/ccd.8").is_file()
    );
    packages.works(&prefix.join("bin/ccctl"), &bin);

    // The exit code is the program's own.
    let typed = |args: &[&str]| run(packages.home.command(&prefix.join("bin/ccctl")).args(args), b"");
    assert_eq!(typed(&["status"]).code, Some(3));
    assert_eq!(typed(&["no-such-command"]).code, Some(2));

    // From a cache as npx has it, it works and says so, and nothing that lasts is made to point there.
    let cached = packages.home.work().join("_npx/1f/node_modules");
    std::fs::create_dir_all(cached.parent().unwrap()).unwrap();
    std::fs::rename(prefix.join("lib/node_modules"), &cached).unwrap();
    let npx =
        |args: &[&str]| run(packages.home.command(&cached.join(name).join("bin/ccctl.js")).args(args), b"");
    let version = npx(&["--version"]).ok();
    assert!(version.text().starts_with("ccctl ") && version.stderr.contains("npm install -g"), "{version}");
    let refused = npx(&["install", "--no-service"]);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("cache of npx"), "{refused}");
    assert!(packages.home.status().is_none(), "nothing was started");
    std::fs::rename(&cached, prefix.join("lib/node_modules")).unwrap();

    // Without the platform's package, or with that of another version, it is told what to do.
    let manifest = bin.with_file_name("package.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace(own["version"].as_str().unwrap(), "9.9.9")).unwrap();
    let skewed = typed(&["status"]);
    assert_eq!(skewed.code, Some(1), "{skewed}");
    assert!(skewed.stderr.contains("9.9.9") && skewed.stderr.contains("npm install -g"), "{skewed}");
    std::fs::remove_dir_all(bin.parent().unwrap()).unwrap();
    let bare = typed(&["status"]);
    assert_eq!(bare.code, Some(1), "{bare}");
    assert!(bare.stderr.contains(own_name) && bare.stderr.contains("optional"), "{bare}");
}
