//! What is known of names beforehand: standard libraries, how a module's file is called, how compilers complain.
//!
//! It must never grow into a list of what libraries offer: only by what word they are spoken of.
//!
//! Invariant: no state.

use crate::source::Language;

/// Names that are remembered as introduced.
pub(super) const MAX_INTRODUCED: usize = 128;

/// A name that the agent used though nothing had shown it.
#[derive(Debug)]
pub(super) struct Introduced {
    pub(super) name: String,
    pub(super) event: usize,
    pub(super) file: String,
    /// It was told of.
    pub(super) told: bool,
}

/// The files that a module may be.
pub(super) fn module_files(place: &str, language: Language) -> Vec<String> {
    let ends: &[&str] = match language {
        Language::Script => &[
            "",
            ".ts",
            ".tsx",
            ".js",
            ".jsx",
            ".mjs",
            ".cjs",
            ".d.ts",
            ".json",
            ".vue",
            ".svelte",
            ".css",
            ".mts",
            ".cts",
            ".scss",
            ".astro",
            ".native.ts",
            ".native.tsx",
            ".web.tsx",
            ".ios.tsx",
            "/index.ts",
            "/index.tsx",
            "/index.js",
            "/index.jsx",
            "/index.mjs",
            "/index.d.ts",
            "/index.vue",
            "/package.json",
        ],
        Language::Python => &["", ".py", ".pyi", "/__init__.py"],
        Language::Ruby => &["", ".rb"],
        _ => &[""],
    };
    let mut files: Vec<String> = ends.iter().map(|end| format!("{place}{end}")).collect();
    if language == Language::Script {
        // The ending of what it is compiled to.
        for (to, sources) in [
            (".js", [".ts", ".tsx", ".d.ts"]),
            (".jsx", [".tsx", ".ts", ".d.ts"]),
            (".mjs", [".mts", ".ts", ".d.mts"]),
            (".cjs", [".cts", ".ts", ".d.cts"]),
        ] {
            if let Some(stem) = place.strip_suffix(to) {
                files.extend(sources.iter().map(|end| format!("{stem}{end}")));
            }
        }
    }
    if language == Language::Python
        && let Some((module, _)) = place.rsplit_once('/')
    {
        // The last part may be a name within the module.
        files.push(format!("{module}.py"));
    }
    files
}

/// Whether a line of a check's output says that a name is not known.
pub(super) fn says_unknown(line: &str) -> bool {
    const SIGNS: [&str; 22] = [
        "undefined: ",
        "undefined reference",
        "undefined function",
        "undefined method",
        "undefined variable",
        "undefined local variable",
        "has no field or method",
        "is not in std",
        "cannot find",
        "Cannot find",
        "does not exist on type",
        "has no attribute",
        "is not defined",
        "unresolved",
        "Unresolved reference",
        "has no member",
        "no member named",
        "has no exported member",
        "is undefined or private",
        "undeclared",
        "no method named",
        "no function or associated item named",
    ];
    line.len() < 600 && SIGNS.iter().any(|sign| line.contains(sign))
}

/// Whether a module is made by a tool: those are often ignored by the index, as by version control.
pub(super) fn is_generated(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    path.contains(['$', '+'])
        || path.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| {
            matches!(
                part,
                "generated"
                    | "gen"
                    | "dist"
                    | "build"
                    | "out"
                    | "pb"
                    | "pb2"
                    | "proto"
                    | "auto"
                    | "env"
                    | "target"
            )
        })
}

/// Whether a sentence speaks of making something new.
pub(super) fn is_plan(sentence: &str) -> bool {
    sentence.split(|c: char| !c.is_ascii_alphabetic()).any(|word| {
        matches!(
            word.to_ascii_lowercase().as_str(),
            "add"
                | "adding"
                | "create"
                | "creating"
                | "new"
                | "define"
                | "defining"
                | "implement"
                | "implementing"
                | "introduce"
                | "introducing"
                | "extract"
                | "extracting"
                | "rename"
                | "renaming"
                | "write"
                | "writing"
                | "helper"
        )
    })
}

/// Whether a file holds tests.
pub(super) fn is_test(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    path.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|part| matches!(part, "test" | "tests" | "spec" | "specs"))
}

/// Words by which standard libraries, and objects that every program has, are spoken of.
pub(super) fn is_standard(word: &str) -> bool {
    const GO: &str = " archive bufio bytes cmp context crypto sha256 sha1 md5 hex base64 json xml csv binary gob embed \
        errors expvar flag fmt fs hash html template http httptest io ioutil log slog maps math rand big mime net url \
        os exec signal user path filepath plugin reflect regexp runtime debug slices sort sql strconv strings sync \
        atomic syscall testing text tabwriter time unicode utf8 unsafe iter cobra assert require ";
    const SCRIPT: &str = " Array Boolean Buffer Date Error JSON Map Math Number Object Promise Proxy Reflect RegExp Set \
        String Symbol Intl WeakMap console document window process global globalThis module navigator localStorage \
        sessionStorage location history crypto fs path os util http https url events stream child_process expect vi \
        jest cy page React ";
    const PYTHON: &str = " abc argparse asyncio base64 collections contextlib copy csv dataclasses datetime decimal \
        enum functools glob hashlib heapq inspect io itertools json logging math operator os pathlib pickle platform \
        random re secrets shutil signal socket sqlite3 string struct subprocess sys tempfile textwrap threading time \
        traceback types typing unittest uuid warnings zipfile np pd plt torch tf pytest mock ";
    const OTHERS: &str = " std core alloc Vec Option Result Box Rc Arc String HashMap HashSet Path PathBuf Duration \
        Instant Command Ordering System Objects Arrays Collections Collectors Stream List Optional LocalDate Files \
        Paths Enum GenServer Agent Task Supervisor Application Keyword Regex Integer Float Atom Process Kernel Logger \
        Ecto Phoenix Repo File IO Dir Time Kernel Struct Hash Rails ActiveRecord ";
    let padded = format!(" {word} ");
    [GO, SCRIPT, PYTHON, OTHERS].iter().any(|list| list.contains(padded.as_str()))
}
