//! Writes tables and JSON to standard output, and messages and questions to standard error.

use crate::problem::Problem;
use comfy_table::{ColumnConstraint, Table, Width};
use console::{StyledObject, style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use std::io::{IsTerminal, Write};
use std::{fmt, io};

/// Writes one line to standard error.
pub fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{}", printable(&line.to_string()));
}

/// Writes one line to standard error, after a sign in a color.
fn say_with(sign: StyledObject<&str>, line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{} {}", sign.for_stderr(), printable(&line.to_string()));
}

/// Reports that something is done.
pub fn report(line: impl fmt::Display) {
    say_with(style("✓").green(), line);
}

/// Warns of something that is allowed, but probably a mistake.
pub fn warn(line: impl fmt::Display) {
    say_with(style("!").yellow(), line);
}

/// Reports each message of a problem.
pub fn complain(problem: &Problem) {
    for message in &problem.messages {
        say_with(style("✗").red(), message);
    }
}

/// Asks a question that expects yes or no. Without a terminal, nobody can answer.
///
/// # Errors
/// Fails if the answer is not yes, or nobody can answer.
pub fn confirm(question: &str, is_agreed: bool) -> Result<(), Problem> {
    if is_agreed {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Problem::usage(format!("{question} Without a terminal, there is no answer: add `--yes` to agree")));
    }
    let mut stderr = io::stderr();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Problem::not_done("nothing was changed, because the answer is not `y`")),
    }
}

/// A bar with this template on standard error. It is hidden if that is no terminal.
pub fn bar(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(template);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

/// Replaces characters that would change the terminal: control characters, and marks of the direction of text.
pub fn printable(text: &str) -> String {
    text.chars().map(|letter| if changes_terminal(letter) { '\u{fffd}' } else { letter }).collect()
}

fn changes_terminal(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes JSON with a final line break. The characters that would change the terminal are escaped, as in every JSON here.
///
/// # Errors
/// Fails if the output cannot be written.
pub fn write_json(out: &mut dyn Write, value: &Value) -> Result<(), Problem> {
    Ok(writeln!(out, "{}", escaped(&format!("{value:#}")))?)
}

/// Escapes the characters in the strings of JSON that would change the terminal. JSON itself requires that only for those
/// below U+0020.
fn escaped(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut text, letter| {
        if letter != '\n' && changes_terminal(letter) {
            let _ = fmt::Write::write_fmt(&mut text, format_args!("\\u{:04x}", u32::from(letter)));
        } else {
            text.push(letter);
        }
        text
    })
}

/// A table that is written in parts, so that it never is in memory as a whole. The columns of each part are at least as
/// wide as those of the parts before.
#[derive(Debug)]
pub struct Rows {
    header: Option<Vec<&'static str>>,
    widths: Vec<u16>,
}

impl Rows {
    /// A table with this header.
    pub fn new(header: &[&'static str]) -> Self {
        Self { header: Some(header.to_vec()), widths: vec![0; header.len()] }
    }

    /// Writes rows.
    ///
    /// # Errors
    /// Fails if the output cannot be written.
    pub fn write(&mut self, out: &mut dyn Write, rows: &[Vec<String>]) -> Result<(), Problem> {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        if let Some(header) = self.header.take() {
            table.add_row(header);
        }
        for row in rows {
            table.add_row(row.iter().map(|cell| printable(cell)));
        }
        if table.is_empty() {
            return Ok(());
        }
        for (column, width) in table.column_iter_mut().zip(&self.widths) {
            column.set_padding((0, 2));
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(*width)));
        }
        self.widths = table
            .column_max_content_widths()
            .iter()
            .zip(&self.widths)
            .map(|(one, other)| (one + 2).max(*other))
            .collect();
        for line in table.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Writes names with their values, one on each line. Leaves out empty values.
///
/// # Errors
/// Fails if the output cannot be written.
pub fn write_facts(out: &mut dyn Write, facts: &[(&str, String)]) -> Result<(), Problem> {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        let value = value.split('\n').map(printable).collect::<Vec<_>>();
        writeln!(out, "{name:width$}  {}", value.join(&format!("\n{:width$}  ", "")))?;
    }
    Ok(())
}

/// A JSON object with one member, a list that is written item by item.
#[derive(Debug, Default)]
pub struct JsonList {
    is_started: bool,
}

impl JsonList {
    /// Writes an item.
    ///
    /// # Errors
    /// Fails if the output cannot be written.
    pub fn write(&mut self, out: &mut dyn Write, member: &str, item: &Value) -> Result<(), Problem> {
        if self.is_started {
            out.write_all(b",\n")?;
        } else {
            writeln!(out, "{{\"{member}\": [")?;
        }
        self.is_started = true;
        Ok(write!(out, "{}", escaped(&item.to_string()))?)
    }

    /// Ends the list, and writes other members of the object after it.
    ///
    /// # Errors
    /// Fails if the output cannot be written.
    pub fn end(self, out: &mut dyn Write, member: &str, others: &[(&str, Value)]) -> Result<(), Problem> {
        if !self.is_started {
            write!(out, "{{\"{member}\": [")?;
        }
        write!(out, "]")?;
        for (name, value) in others {
            write!(out, ", \"{name}\": {}", escaped(&value.to_string()))?;
        }
        Ok(writeln!(out, "}}")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_is_written_in_parts_with_the_same_columns() {
        let (mut rows, mut out) = (Rows::new(&["A", "B"]), Vec::new());
        let row = |one: &str, other: &str| vec![one.to_owned(), other.to_owned()];
        rows.write(&mut out, &[row("wide cell", "x"), row("", "\u{1b}[2Jü")]).unwrap();
        rows.write(&mut out, &[row("1", "2")]).unwrap();
        rows.write(&mut out, &[]).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "A          B\nwide cell  x\n           \u{fffd}[2Jü\n1          2\n");
    }

    #[test]
    fn a_list_is_one_json_document() {
        for items in [vec![], vec![json!({"a": 1})], vec![json!(1), json!([2])]] {
            let (mut list, mut out) = (JsonList::default(), Vec::new());
            for item in &items {
                list.write(&mut out, "jobs", item).unwrap();
            }
            list.end(&mut out, "jobs", &[("more", json!(true))]).unwrap();
            let parsed: Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(parsed, json!({"jobs": items, "more": true}));
        }
    }

    #[test]
    fn json_cannot_change_the_terminal() {
        let value = json!({"reason": "a\u{1b}[2J\u{7f}\u{9b}\u{202e}b\nü"});
        let mut out = Vec::new();
        write_json(&mut out, &value).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert!(text.contains(r"a\u001b[2J\u007f\u009b\u202eb\nü"), "{text}");
        assert!(text.chars().all(|letter| letter == '\n' || !changes_terminal(letter)), "{text}");
    }

    #[test]
    fn facts_without_a_value_are_left_out() {
        let mut out = Vec::new();
        write_facts(&mut out, &[("job", "a\nb".to_owned()), ("comment", String::new())]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "job      a\n         b\n");
    }
}
