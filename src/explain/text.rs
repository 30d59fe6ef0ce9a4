//! Pages for people.

use std::fmt::Write as _;

use super::component::heading;
use super::{ComponentPage, Contents, Listed, NotBuilt, OptionPage, OutputPage, Page};

/// Columns of a text.
const WIDTH: usize = 100;

/// `page` as lines of text, without an end of line at its end.
pub fn text(page: &Page) -> String {
    let text = match page {
        Page::Code(page) => format!("{}: {}\n\n{}", page.code, page.title, markdown(page.page)),
        Page::Component(page) => component(page),
        Page::Option(page) => option(page),
        Page::NotBuilt(page) => not_built(page),
        Page::Function(signature) => format!("{signature}\n\n{}", wrapped(signature.about, 0)),
    };
    text.trim_end().to_owned()
}

fn not_built(page: &NotBuilt) -> String {
    let NotBuilt { kind, name, plugin } = page;
    match plugin {
        Some(plugin) => format!(
            "{name}: {kind} of the plugin `{plugin}`, which is not installed.\n\n\
             `imgbake plugins install {plugin}` installs it, and then this page has its options."
        ),
        None => format!(
            "{name}: {kind} of Packer that imgbake does not have yet.\n\n\
             A template that uses it is refused; `imgbake explain C004` says more."
        ),
    }
}

/// The table of contents.
pub fn contents_text(contents: &Contents) -> String {
    let list = |title: &str, list: &[Listed]| {
        let width = list.iter().map(|listed| listed.name.len()).max().unwrap_or(0);
        let line = |listed: &Listed| format!("  {:width$}  {}\n", listed.name, listed.title);
        format!("{title}:\n{}", list.iter().map(line).collect::<String>())
    };
    let mut lists = vec![list("Codes of diagnostics", &contents.codes)];
    lists.extend(contents.components.iter().map(|(kind, listed)| list(&heading(kind), listed)));
    lists.push(list("Functions", &contents.functions));
    let usage = "imgbake explain TOPIC says more; an option is asked for as COMPONENT.OPTION.";
    format!("{}\n{usage}", lists.join("\n"))
}

/// A page without Markdown's fences: code is indented, under the name of its file.
fn markdown(page: &str) -> String {
    let mut text = String::new();
    let mut in_code = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some("console" | "") => in_code = !in_code,
            Some(file) => {
                in_code = true;
                let _ = writeln!(text, "  {file}:");
            }
            None if in_code && !line.is_empty() => {
                let _ = writeln!(text, "    {line}");
            }
            None => {
                let _ = writeln!(text, "{}", line.trim_start_matches("## "));
            }
        }
    }
    text
}

fn component(page: &ComponentPage) -> String {
    let mut text = format!("{} ({}): {}\n", page.name, page.kind, page.about);
    for (title, options) in
        [("Options", &page.options), ("Of every block of this kind", &page.meta_arguments)]
    {
        if !options.is_empty() {
            let _ = writeln!(text, "\n{title}:");
            options.iter().for_each(|option| brief(option, 1, &mut text));
        }
    }
    let output = |one: &OutputPage| format!("{} ({})", one.name, one.r#type);
    let outputs: Vec<String> = page.outputs.iter().map(output).collect();
    for (title, names) in [
        ("Refused by name", &page.not_built),
        ("Adds to `build`", &page.build_data),
        ("Answers", &outputs),
    ] {
        if !names.is_empty() {
            let _ = writeln!(text, "\n{title}:\n{}", wrapped(&names.join(", "), 1));
        }
    }
    text
}

/// An option of a list, and those inside of it.
fn brief(option: &OptionPage, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let _ = writeln!(text, "{indent}{} ({})", option.name(), traits(option));
    if !option.text.is_empty() {
        let _ = writeln!(text, "{}", wrapped(&option.text, depth + 1));
    }
    option.options.iter().for_each(|inner| brief(inner, depth + 1, text));
}

fn option(page: &OptionPage) -> String {
    let mut text = format!("{} ({}): {}\n", page.path, page.kind, traits(page));
    if !page.text.is_empty() {
        let _ = writeln!(text, "\n{}", wrapped(&page.text, 0));
    }
    if !page.options.is_empty() {
        text.push('\n');
        page.options.iter().for_each(|inner| brief(inner, 1, &mut text));
    }
    text
}

/// `string, required`; `duration, default "5m"`.
fn traits(option: &OptionPage) -> String {
    let required = option.required.then(|| "required".to_owned());
    let default = option.default.as_ref().map(|default| format!("default {default}"));
    let words = [Some(option.r#type.clone()), required, default];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// `text` in lines of at most [`WIDTH`] columns, indented; its empty lines part paragraphs.
fn wrapped(text: &str, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let mut lines = vec![indent.clone()];
        for word in paragraph.split_whitespace() {
            let full = lines.last().is_some_and(|line| {
                line.len() > indent.len() && line.len() + 1 + word.len() > WIDTH
            });
            if full {
                lines.push(indent.clone());
            }
            if let Some(line) = lines.last_mut() {
                if line.len() > indent.len() {
                    line.push(' ');
                }
                line.push_str(word);
            }
        }
        lines.join("\n")
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}
