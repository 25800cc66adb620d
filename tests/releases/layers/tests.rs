use super::{CRATE, Files, problems};

/// The problems of a crate with these files and a table of these rows.
fn check(rows: &[&str], files: &[(&str, &str)]) -> Vec<String> {
    let page: Vec<_> = rows.iter().map(|row| format!("| `{row}` | A sentence. |\n")).collect();
    let files: Files = files.iter().map(|(file, code)| ((*file).to_owned(), (*code).to_owned())).collect();
    problems(&format!("# Title\n\n| file | purpose |\n|---|---|\n{}\n`c.rs` in prose.\n", page.concat()), &files)
}

/// The files that `b.rs` with this code uses, although they are below it in the table. `x/mod.rs` only declares
/// modules, and `y/mod.rs` has code.
fn uses(code: &str) -> Vec<String> {
    let rows = ["a.rs", "b.rs", "c.rs", "x/d.rs", "x/e.rs", "y/f.rs", "y/mod.rs"];
    let modules = [
        ("lib.rs", "//! X\n\nmod a; pub mod b; mod c; mod x; mod y;"),
        ("x/mod.rs", "//! X\n\npub mod d;\n\npub(crate) mod e;\n"),
        ("y/mod.rs", "pub mod f; pub struct Y(f::F);"),
    ];
    let mut files = rows.map(|row| (row, "")).to_vec();
    files.retain(|(file, _)| *file != "b.rs" && *file != "y/mod.rs");
    files.extend(modules);
    files.push(("b.rs", code));
    check(&rows, &files).iter().map(|problem| problem.split('`').nth(3).expect("a file").to_owned()).collect()
}

#[test]
fn a_use_of_a_later_file_is_found_in_every_form() {
    for code in [
        "use crate::c;",
        "use crate::c::*;",
        "pub(crate) use crate::c::C as D;",
        "use crate::{a::A, c::C};",
        "use crate::{\n    a::{self, A as B, *},\n    c::{self, C},\n};",
        "use {crate::a::A, crate::c::C};",
        "use super::c;",
        "use super::{a, c::{C}};",
        "fn b() { let c = \"\\\"//\"; crate::c::run::<u8>(c) }",
        "fn b<'a>(_: &'a crate::c::C) -> Vec<super::a::A> { vec!['\"', '\\'', b'\"'] }",
        "/* // */ fn b() { r#\"\"\"# + crate::a::a::<crate::c::C>() }",
        "#[derive(Debug)] struct B(#[serde(default)] crate::c::C);",
        "macro_rules! b { () => { $crate::c::C }; }",
        "#[cfg(test)] use crate::a::A; use crate::c::C;",
        "#[cfg(test)] mod tests { fn b() { {} } } fn b() { crate::c::c() }",
        &format!("use {CRATE}::{{a::A, c::C}};"),
    ] {
        assert_eq!(uses(code), ["c.rs"], "{code}");
    }
}

#[test]
fn earlier_files_tests_comments_and_literals_are_allowed() {
    for code in [
        "use crate::{a::{self, A}, b::B}; use std::c::C; use c::C;",
        "//! [`crate::c::C`]\n/// crate::c::C\n/* crate::c */",
        "const B: &str = \"crate::c::C\"; const C: &str = r#\"\" crate::c::C\"#; const D: &[u8] = b\"crate::c::C\";",
        "#[cfg(test)] use crate::{a, c::C};",
        "#[cfg(test)] mod tests { use crate::c::C; mod more { use crate::x::d; } }",
        "#[cfg(test)] #[allow(dead_code)] pub(crate) fn c(_: [u8; 2]) -> crate::c::C { crate::c::c() }",
        "#[cfg(test)] impl B { fn b() { crate::c::c() } }",
        "pub(crate) fn a(_: other::crate_::c::C) {}",
    ] {
        assert!(uses(code).is_empty(), "{code}");
    }
}

#[test]
fn a_path_belongs_to_the_innermost_file_and_a_folder_to_its_last() {
    assert_eq!(uses("use crate::{c, x::{d::D, e::{E, F}}};"), ["c.rs", "x/d.rs", "x/e.rs"]);
    assert_eq!(uses("use crate::x;"), ["x/e.rs"]);
    assert_eq!(uses("use crate::x::*;"), ["x/e.rs"]);
    assert_eq!(uses("use crate::*;"), ["y/mod.rs"]);
    assert_eq!(uses("use crate::y::{Y, f::F};"), ["y/f.rs", "y/mod.rs"]);
}

#[test]
fn the_program_ota_is_a_crate_of_its_own_above_the_library() {
    let rows = ["a.rs", "ota/a.rs", "ota/b.rs", "ota/main.rs"];
    let check = |code: &str| {
        let main = "mod a; mod b; #[cfg(test)] mod tests; use crate::a::A;";
        let files = [("lib.rs", "mod a;"), ("a.rs", ""), ("ota/a.rs", code), ("ota/b.rs", ""), ("ota/main.rs", main)];
        check(&rows, &[&files[..], &[("ota/tests.rs", "use crate::b::B;")]].concat())
    };
    let library = format!("use {CRATE}::a::A;");
    assert!(check(&library).is_empty(), "{:?}", check(&library));
    let [problem] = &check("use crate::b::B;")[..] else { panic!("no problem") };
    assert!(problem.starts_with("`ota/a.rs` uses `ota/b.rs`, which stands below it: "), "{problem}");
}

#[test]
fn relative_paths_start_at_their_own_module() {
    let lib = ("lib.rs", "mod a; mod x;");
    let uses = |file, code| {
        let rows = ["x/a.rs", "x/mod.rs", "x/b.rs", "a.rs"];
        let others = rows.map(|row| (row, "struct A;")).into_iter().filter(|(other, _)| *other != file);
        let files: Vec<_> = others.chain([lib, (file, code)]).collect();
        check(&rows, &files).len()
    };
    assert_eq!(uses("x/b.rs", "use super::a::A;"), 0);
    assert_eq!(uses("x/b.rs", "use super::super::a::A;"), 1);
    assert_eq!(uses("x/b.rs", "use super::{a::A, super::a};"), 1);
    assert_eq!(uses("x/a.rs", "use super::b::B;"), 1);
    assert_eq!(uses("x/mod.rs", "mod a; mod b; fn f() { a::f() }"), 0);
    assert_eq!(uses("x/mod.rs", "mod a; mod b; fn f() { b::f() }"), 1);
    assert_eq!(uses("x/mod.rs", "mod a; mod b; use self::{a::A, b::B};"), 1);
}

#[test]
fn circles_are_found_in_any_order() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b;"),
        ("b.rs", "use super::c;"),
        ("c.rs", "use crate::a;"),
    ];
    for rows in [["a.rs", "b.rs", "c.rs"], ["c.rs", "b.rs", "a.rs"], ["b.rs", "c.rs", "a.rs"], ["a.rs", "c.rs", "b.rs"]]
    {
        assert!(!check(&rows, &files).is_empty(), "{rows:?}");
    }
    let problem = "`a.rs` uses `b.rs`, which stands below it: move the used item into a file above `a.rs`, or, if `b.rs` \
                   uses nothing of `a.rs`, move its row";
    assert_eq!(check(&["c.rs", "a.rs", "b.rs"], &files[..3]).last().unwrap(), problem);
}

#[test]
fn every_file_outside_the_tests_has_one_row() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("main.rs", "fn main() {}"),
        ("a.rs", "#[cfg(test)] mod tests;"),
        ("a/tests.rs", "use crate::b::B; mod more;"),
        ("a/tests/more.rs", "use crate::b::B;"),
        ("b/mod.rs", "pub mod c;\n#[cfg(test)]\nmod samples;"),
        ("b/c.rs", ""),
        ("b/samples.rs", ""),
    ];
    assert!(check(&["a.rs", "b/c.rs", "main.rs"], &files).is_empty());
    let missing = check(&["a.rs", "main.rs"], &files);
    assert_eq!(missing, ["`b/c.rs` has no row: add one below the files that it uses"]);
    let twice = check(&["a.rs", "b/c.rs", "a.rs", "main.rs"], &files);
    assert_eq!(twice, ["`a.rs` has two rows: remove one"]);
    for wrong in ["d.rs", "b/samples.rs", "a/tests/more.rs"] {
        let problem = format!("`{wrong}` has a row, but is no file of src/ outside the tests: remove the row");
        assert_eq!(check(&["a.rs", "b/c.rs", wrong, "main.rs"], &files), [problem]);
    }
    let with_code = [("lib.rs", "mod b;"), ("b/mod.rs", "pub mod c; pub struct B;"), ("b/c.rs", "")];
    assert_eq!(check(&["b/c.rs"], &with_code), ["`b/mod.rs` has no row: add one below the files that it uses"]);
}
