//! The configuration file: TOML, with the variables' names in lower case and without the prefix,
//! and rules a program.
//!
//! ```toml
//! interface = "eth0"
//!
//! [[program]]
//! name = "curl"
//! congestion = "reno"
//! ```

use toml::de::{DeTable, DeValue};

use super::settings::{NAMES, Value, Values};

/// What a file says, unchecked.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// For every program.
    pub(super) general: Values,
    /// For programs of a name, in the file's order.
    pub(super) programs: Vec<(String, Values)>,
    /// A sentence each.
    pub(super) warnings: Vec<String>,
}

/// Reads a file's contents; `path` is for the messages.
///
/// # Errors
/// A sentence for the user: it is not TOML, or something in it has the wrong type.
pub(super) fn parse(path: &str, text: &str) -> Result<Rules, String> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_at(text, span.start));
        format!("{path}, line {line}: {}", error.message())
    })?;
    let mut rules = Rules::default();
    for (key, value) in table.get_ref() {
        let line = line_at(text, key.span().start);
        let place = format!("{path}, line {line}");
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("program", DeValue::Array(entries)) => {
                for entry in entries.iter() {
                    let line = line_at(text, entry.span().start);
                    let place = format!("{path}, line {line}");
                    let special = program(&place, entry.get_ref(), &mut rules.warnings)?;
                    rules.programs.push(special);
                }
            }
            ("program", _) => return Err(format!("{place}: expected [[program]] sections")),
            (name, value) => take(&place, name, value, &mut rules.general, &mut rules.warnings)?,
        }
    }
    Ok(rules)
}

/// One `[[program]]` section.
fn program(
    place: &str,
    section: &DeValue<'_>,
    warnings: &mut Vec<String>,
) -> Result<(String, Values), String> {
    let table = section
        .as_table()
        .ok_or_else(|| format!("{place}: expected a [[program]] section"))?;
    let (mut program, mut values) = (None, Values::new());
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "name" => program = value.get_ref().as_str().map(str::to_owned),
            name => take(place, name, value.get_ref(), &mut values, warnings)?,
        }
    }
    let program = program.ok_or_else(|| format!("{place}: this program has no name = \"…\""))?;
    Ok((program, values))
}

/// One setting.
fn take(
    place: &str,
    name: &str,
    value: &DeValue<'_>,
    values: &mut Values,
    warnings: &mut Vec<String>,
) -> Result<(), String> {
    let Some(known) = NAMES.into_iter().find(|known| *known == name) else {
        warnings.push(format!("{place}: unknown name \"{name}\"; it is ignored"));
        return Ok(());
    };
    let text = text_of(value)
        .ok_or_else(|| format!("{place}: {name} must be a string, not {}", value.type_str()))?;
    if !text.is_empty() {
        let origin = format!("{name} ({place})");
        values.insert(known, Value { text, origin });
    }
    Ok(())
}

/// A value as the variable would spell it: lists are separated by commas.
fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| item.get_ref().as_str());
            Some(texts.collect::<Option<Vec<_>>>()?.join(","))
        }
        _ => None,
    }
}

/// The number of the line that holds the byte at `offset`.
fn line_at(text: &str, offset: usize) -> usize {
    let before = text.bytes().take(offset);
    before.filter(|&byte| byte == b'\n').count() + 1
}
