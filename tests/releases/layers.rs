//! Tests that every file uses only files above it in the table of docs/developer/architecture.md, so that there are no
//! circles.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The files of src/, by their paths.
type Files = BTreeMap<String, String>;

/// The name of this crate in the code of main.rs and of the program `ota`.
const CRATE: &str = "ota_on_upload";
/// The files in which the crates begin that are programs.
const PROGRAMS: [&str; 2] = ["main.rs", "ota/main.rs"];
/// The folder of the program `ota`, which is a crate of its own.
const OTA: &str = "ota";

#[test]
fn every_file_uses_only_files_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/developer/architecture.md")).expect("readable");
    let mut files = Files::new();
    read_folder(&root.join("src"), "", &mut files);
    let mut problems = problems(&page, &files);
    problems.extend(purpose_problems(&page, &files));
    assert!(problems.is_empty(), "src/ does not match docs/developer/architecture.md:\n{}", problems.join("\n"));
}

fn is_rust(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "rs")
}

fn read_folder(folder: &Path, prefix: &str, files: &mut Files) {
    for entry in fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable")) {
        let (path, name) = (entry.path(), entry.file_name().into_string().expect("UTF-8"));
        if path.is_dir() {
            read_folder(&path, &format!("{prefix}{name}/"), files);
        } else if is_rust(&path) {
            files.insert(format!("{prefix}{name}"), fs::read_to_string(path).expect("readable"));
        }
    }
}

/// Compares the table with the files, and the uses of the files with the order of the table.
fn problems(page: &str, files: &Files) -> Vec<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let rows: Vec<&str> = rows.map(|(file, _)| file).filter(|file| is_rust(Path::new(file))).collect();
    let modules: Vec<_> = files.iter().map(|(file, text)| Module::new(file, text)).collect();
    let is_test = |module: &Module<'_>| {
        let in_test = |parent: &Module<'_>, test| module.path.starts_with(&[&parent.path[..], &[test]].concat());
        modules.iter().any(|parent| parent.tests.iter().any(|test| in_test(parent, *test)))
    };
    let modules: Vec<_> = modules.iter().filter(|module| !is_test(module)).collect();
    let mut problems = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        if rows[..at].contains(row) {
            problems.push(format!("`{row}` has two rows: remove one"));
        } else if !modules.iter().any(|module| module.file == *row) {
            problems.push(format!("`{row}` has a row, but is no file of src/ outside the tests: remove the row"));
        }
    }
    let position = |file: &str| rows.iter().position(|row| *row == file);
    for module in &modules {
        let Some(own_row) = position(module.file) else {
            if !module.only_declares_modules() {
                problems.push(format!("`{}` has no row: add one below the files that it uses", module.file));
            }
            continue;
        };
        let used: BTreeSet<_> = module.uses().iter().filter_map(|path| last_used(path, &modules, position)).collect();
        for used in used.into_iter().filter(|used| *used > own_row) {
            let (file, used) = (module.file, rows[used]);
            problems.push(format!(
                "`{file}` uses `{used}`, which stands below it: move the used item into a file above `{file}`, or, if \
                 `{used}` uses nothing of `{file}`, move its row"
            ));
        }
    }
    problems
}

/// Compares the purposes in the table with the first paragraphs of the files.
fn purpose_problems(page: &str, files: &Files) -> Vec<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | "));
    let rows = rows.filter_map(|(file, purpose)| Some((file, purpose, files.get(file)?)));
    let differs = |(file, purpose, text): (&str, &str, &String)| {
        let lines = text.lines().map_while(|line| line.strip_prefix("//! "));
        let paragraph = lines.collect::<Vec<_>>().join(" ");
        (paragraph != purpose).then(|| format!("`{file}` begins with `{paragraph}`, but its row has `{purpose}`"))
    };
    rows.filter_map(differs).collect()
}

/// The row of the file that has the item with this path. If the path names a whole file or folder, the last row of that
/// file or folder.
fn last_used(path: &[&str], modules: &[&Module<'_>], row: impl Fn(&str) -> Option<usize>) -> Option<usize> {
    let is_in = |module: &&&Module<'_>| !PROGRAMS.contains(&module.file) && path.starts_with(&module.path);
    let used = modules.iter().filter(is_in).max_by_key(|module| module.path.len())?;
    let inner = modules.iter().filter(|module| module.file == used.file || module.path.starts_with(path));
    inner.filter_map(|module| row(module.file)).max()
}

/// The code of a file, without its tests.
struct Module<'a> {
    file: &'a str,
    /// The path of the module from the root of the crate.
    path: Vec<&'a str>,
    code: Vec<&'a str>,
    /// The modules in files of their own that are compiled only for tests.
    tests: Vec<&'a str>,
}

impl<'a> Module<'a> {
    fn new(file: &'a str, text: &'a str) -> Self {
        let path =
            file.trim_end_matches(".rs").split('/').filter(|name| !["lib", "main", "mod"].contains(name)).collect();
        let (mut code, mut tests) = (Vec::new(), Vec::new());
        let tokens = tokens(text);
        let mut rest = &tokens[..];
        while let [first, more @ ..] = rest {
            rest = more;
            if let Some(test) = more.strip_prefix(&["[", "cfg", "(", "test", ")", "]"]).filter(|_| *first == "#") {
                let (item, after) = test.split_at(item_length(test));
                tests.extend(if let [.., "mod", name, ";"] = item { Some(*name) } else { None });
                rest = after;
            } else {
                code.push(*first);
            }
        }
        Self { file, path, code, tests }
    }

    fn only_declares_modules(&self) -> bool {
        let mut items = self.code.split(|token| *token == ";");
        let is_folder = self.file == "lib.rs" || self.file.ends_with("/mod.rs");
        is_folder
            && items.all(|item| matches!(item, [] | ["mod", _] | ["pub", "mod", _] | ["pub", "(", _, ")", "mod", _]))
    }

    /// The path of the root of the module's own crate.
    fn crate_path(&self) -> Vec<&'a str> {
        self.path.first().filter(|folder| **folder == OTA).copied().into_iter().collect()
    }

    /// The paths, from the root of the library, of all items of this package that the code uses.
    fn uses(&self) -> BTreeSet<Vec<&'a str>> {
        let declarations = self.code.windows(3).filter(|item| item[0] == "mod" && item[2] == ";");
        let children: Vec<_> = declarations.map(|item| item[1]).collect();
        let (mut found, mut previous, mut rest) = (BTreeSet::new(), "", &self.code[..]);
        while let [first, more @ ..] = rest {
            rest = more;
            let base = match *first {
                "crate" => Some(self.crate_path()),
                CRATE => Some(Vec::new()),
                "self" => Some(self.path.clone()),
                "super" => Some(self.path[..self.path.len().saturating_sub(1)].to_vec()),
                child => children.contains(&child).then(|| [&self.path[..], &[child]].concat()),
            };
            if let (Some(base), ["::", path @ ..], false) = (base, more, previous == "::") {
                rest = path;
                collect_paths(&mut rest, base, &mut found);
            }
            previous = first;
        }
        found
    }
}

/// Collects the paths at the beginning of the tokens, which are one path or a tree of paths. Each continues `path`.
fn collect_paths<'a>(tokens: &mut &[&'a str], mut path: Vec<&'a str>, found: &mut BTreeSet<Vec<&'a str>>) {
    loop {
        match **tokens {
            ["super", ..] => drop(path.pop()),
            ["self", ..] => {}
            ["{", ..] => {
                while let ["{" | ",", rest @ ..] = *tokens {
                    *tokens = rest;
                    if rest.first() == Some(&"}") {
                        break;
                    }
                    collect_paths(tokens, path.clone(), found);
                    // A star or a new name.
                    let end = tokens.iter().position(|token| [",", "}"].contains(token)).unwrap_or(tokens.len());
                    *tokens = &tokens[end..];
                }
                *tokens = tokens.get(1..).unwrap_or_default();
                return;
            }
            [name, ..] if name.starts_with(is_name_character) => path.push(name),
            _ => break,
        }
        match **tokens {
            [_, "::", ref rest @ ..] => *tokens = rest,
            _ => break,
        }
    }
    found.insert(path);
}

/// The number of tokens to the end of an item: a semicolon or a closing brace.
fn item_length(tokens: &[&str]) -> usize {
    let mut depth = 0;
    let end = tokens.iter().position(|token| {
        depth += match *token {
            "(" | "[" | "{" => 1,
            ")" | "]" | "}" => -1,
            _ => 0,
        };
        depth == 0 && [";", "}"].contains(token)
    });
    end.map_or(tokens.len(), |end| end + 1)
}

fn is_name_character(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Splits code into names and signs, and omits comments and literals.
fn tokens(mut code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    while let Some(first) = code.chars().next() {
        let ignored = if code.starts_with("//") {
            code.find('\n').or(Some(code.len()))
        } else if code.starts_with("/*") {
            code.find("*/").map(|end| end + 2)
        } else if first.is_whitespace() {
            Some(first.len_utf8())
        } else {
            literal_length(code)
        };
        let name = code.find(|letter| !is_name_character(letter)).unwrap_or(code.len());
        let length = ignored.unwrap_or(if code.starts_with("::") { 2 } else { name.max(first.len_utf8()) });
        tokens.extend(ignored.is_none().then(|| &code[..length]));
        code = &code[length..];
    }
    tokens
}

/// The length of the string or character at the beginning of code. `None` for everything else, such as a lifetime.
fn literal_length(code: &str) -> Option<usize> {
    let unprefixed = code.strip_prefix('b').unwrap_or(code);
    if let Some(raw) = unprefixed.strip_prefix('r') {
        let quoted = raw.trim_start_matches('#');
        let end = format!("\"{}", &raw[..raw.len() - quoted.len()]);
        let text = quoted.strip_prefix('"')?;
        return Some(code.len() - text.len() + text.find(&end)? + end.len());
    }
    let quote = unprefixed.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
    let text = &unprefixed[1..];
    if quote == '\'' && !text.starts_with('\\') && text.chars().nth(1) != Some('\'') {
        return None;
    }
    let mut is_escaped = false;
    let end = text.find(|letter| {
        let is_end = letter == quote && !is_escaped;
        is_escaped = letter == '\\' && !is_escaped;
        is_end
    });
    Some(code.len() - text.len() + end? + 1)
}

mod tests;
