//! Dependencies, as a project's manifests declare them, by the names by which its package manager knows them.
//!
//! Must never fail: a manifest that cannot be read declares nothing.
//!
//! Invariant: a Go module's own path is told as `mod:path`, and only that begins with `mod:`.

use serde_json::Value;

/// What a file declares; nothing, where it is no manifest.
pub(super) fn declared(path: &str, text: &str) -> Vec<String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let (stem, end) = name.rsplit_once('.').unwrap_or((name, ""));
    let requirements = stem.starts_with("requirements") && end == "txt";
    match name {
        "go.mod" => go_mod(text),
        "Cargo.toml" => cargo(text),
        "package.json" => package_json(
            text,
            &["dependencies", "devDependencies", "peerDependencies", "optionalDependencies"],
        ),
        "composer.json" => package_json(text, &["require", "require-dev"]),
        "pyproject.toml" => pyproject(text),
        "Pipfile" => toml_keys(text, &[&["packages"], &["dev-packages"]]),
        "Gemfile" => lines(text, |line| first_quoted(line.strip_prefix("gem ")?)),
        "mix.exs" => lines(text, |line| {
            let name = line.strip_prefix("{:")?.split_once(',')?.0.trim();
            is_plain(name).then_some(name)
        }),
        "Package.swift" => lines(text, |line| {
            let at = line.find(".package(")?;
            let url = first_quoted(line.get(at..)?.split_once("url:")?.1)?;
            Some(url.trim_end_matches(".git").rsplit('/').next().unwrap_or(url))
        }),
        "pom.xml" => {
            lines(text, |line| line.strip_prefix("<artifactId>")?.split_once('<').map(|(name, _)| name))
        }
        "build.gradle" | "build.gradle.kts" => lines(text, |line| {
            let coordinates = first_quoted(line)?;
            let mut parts = coordinates.split(':');
            parts.next()?;
            parts
                .next()
                .filter(|_| line.contains("mplementation") || line.contains("api") || line.contains("ompile"))
        }),
        _ if requirements => lines(text, requirement),
        _ if matches!(end, "csproj" | "fsproj") => lines(text, |line| {
            first_quoted(line.strip_prefix("<PackageReference ")?.split_once("Include=")?.1)
        }),
        _ => Vec::new(),
    }
}

fn lines<'a>(text: &'a str, find: impl Fn(&'a str) -> Option<&'a str>) -> Vec<String> {
    text.lines()
        .filter_map(|line| find(line.trim()))
        .filter(|name| !name.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

fn first_quoted(text: &str) -> Option<&str> {
    let start = text.find(['"', '\''])?;
    let rest = text.get(start + 1..)?;
    rest.split_once(['"', '\'']).map(|(inside, _)| inside)
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// The name of `name[extra] >= 1; python_version < "3"`.
fn requirement(line: &str) -> Option<&str> {
    let end = line
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))
        .unwrap_or(line.len());
    line.get(..end).filter(|name| is_plain(name) && !name.starts_with('-'))
}

fn go_mod(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut within = "";
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or(line).trim();
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        match (within, first) {
            (_, ")") => within = "",
            ("", "module") => {
                found.extend(words.next().map(|path| format!("mod:{}", path.trim_matches('"'))));
            }
            ("", "require" | "replace" | "exclude" | "retract" | "tool" | "ignore") => match words.next() {
                Some("(") => within = if first == "require" { "require" } else { "other" },
                Some(path) if first == "require" => found.push(path.to_owned()),
                _ => {}
            },
            ("require", path) => found.push(path.to_owned()),
            _ => {}
        }
    }
    found
}

fn cargo(text: &str) -> Vec<String> {
    const TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let Ok(manifest) = text.parse::<toml::Table>() else { return Vec::new() };
    let mut found = Vec::new();
    let mut take = |table: &toml::Table| {
        for key in TABLES {
            if let Some(toml::Value::Table(names)) = table.get(key) {
                found.extend(names.keys().cloned());
            }
        }
    };
    take(&manifest);
    if let Some(toml::Value::Table(workspace)) = manifest.get("workspace") {
        take(workspace);
    }
    if let Some(toml::Value::Table(targets)) = manifest.get("target") {
        for target in targets.values().filter_map(toml::Value::as_table) {
            take(target);
        }
    }
    found
}

fn package_json(text: &str, tables: &[&str]) -> Vec<String> {
    let Ok(manifest) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    tables
        .iter()
        .filter_map(|key| manifest.get(key)?.as_object())
        .flat_map(|names| names.keys().cloned())
        .collect()
}

fn toml_keys(text: &str, tables: &[&[&str]]) -> Vec<String> {
    let Ok(manifest) = text.parse::<toml::Table>() else { return Vec::new() };
    let root = toml::Value::Table(manifest);
    tables
        .iter()
        .filter_map(|path| path.iter().try_fold(&root, |value, key| value.get(*key))?.as_table())
        .flat_map(|names| names.keys().cloned())
        .collect()
}

fn pyproject(text: &str) -> Vec<String> {
    let mut found =
        toml_keys(text, &[&["tool", "poetry", "dependencies"], &["tool", "poetry", "dev-dependencies"]]);
    let Ok(manifest) = text.parse::<toml::Table>() else { return found };
    let project = manifest.get("project");
    let lists = [
        project.and_then(|project| project.get("dependencies")),
        manifest.get("build-system").and_then(|build| build.get("requires")),
    ];
    let groups =
        [project.and_then(|project| project.get("optional-dependencies")), manifest.get("dependency-groups")];
    let grouped =
        groups.into_iter().flatten().filter_map(toml::Value::as_table).flat_map(|group| group.values());
    for list in lists.into_iter().flatten().chain(grouped).filter_map(toml::Value::as_array) {
        found.extend(list.iter().filter_map(|item| requirement(item.as_str()?)).map(ToOwned::to_owned));
    }
    if let Some(groups) = manifest.get("tool").and_then(|t| t.get("poetry")?.get("group")?.as_table()) {
        for names in groups.values().filter_map(|group| group.get("dependencies")?.as_table()) {
            found.extend(names.keys().cloned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(path: &str, text: &str) -> Vec<String> {
        let mut found = declared(path, text);
        found.sort();
        found
    }

    #[test]
    fn manifests_declare() {
        for (path, text, wanted) in [
            (
                "go.mod",
                "module example.org/shop // ours\n\ngo 1.22\nrequire github.com/lib/pq v1.2.3\nrequire (\n\tgolang.org/x/sys v0.1.0 // indirect\n)\nreplace (\n\ta.b/c => ../c\n)\n",
                &["github.com/lib/pq", "golang.org/x/sys", "mod:example.org/shop"][..],
            ),
            (
                "x/Cargo.toml",
                "[package]\nname='a'\n[dependencies]\nserde='1'\n[workspace.dependencies]\ntoml='1'\n[target.'cfg(unix)'.dev-dependencies]\nlibc='0.2'\n",
                &["libc", "serde", "toml"],
            ),
            (
                "package.json",
                r#"{"dependencies":{"@x/y":"1"},"devDependencies":{"vitest":"2"},"scripts":{"a":"b"}}"#,
                &["@x/y", "vitest"],
            ),
            (
                "pyproject.toml",
                "[project]\ndependencies=['flask>=2','click [x] ; python_version>\"3\"']\n[project.optional-dependencies]\ndev=['pytest']\n[tool.poetry.group.test.dependencies]\nmock='*'\n[dependency-groups]\nlint=['ruff', {include-group='dev'}]\n",
                &["click", "flask", "mock", "pytest", "ruff"],
            ),
            (
                "requirements-dev.txt",
                "# no\n-r base.txt\nDjango==4.2\nrequests[socks]\n",
                &["Django", "requests"],
            ),
            ("Gemfile", "source 'https://x'\ngem 'rails', '~> 7'\n  gem \"pg\"\n", &["pg", "rails"]),
            (
                "mix.exs",
                "defp deps do\n[\n{:phoenix, \"~> 1\"},\n{:ecto, path: \"x\"}\n]",
                &["ecto", "phoenix"],
            ),
            ("composer.json", r#"{"require":{"php":"8","a/b":"1"}}"#, &["a/b", "php"]),
            ("build.gradle", "implementation 'org.x:core:1.0'\nversion = '1:2'\n", &["core"]),
            ("a/b.csproj", "<PackageReference Include=\"Serilog\" Version=\"2\" />", &["Serilog"]),
            ("pom.xml", "  <artifactId>junit</artifactId>\n", &["junit"]),
            ("Package.swift", ".package(url: \"https://github.com/a/Alamo.git\", from: \"5.0\")", &["Alamo"]),
            ("Cargo.toml", "[dependencies\nbroken", &[]),
            ("package.json", "[1, 2]", &[]),
            ("notes.txt", "gem 'rails'", &[]),
        ] {
            assert_eq!(sorted(path, text), wanted, "{path}");
        }
    }
}
