//! The API's description as one page of plain HTML, without scripts or external resources.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::failure::Code;
use crate::problem;

const STYLE: &str = include_str!("redoc.css");

/// Renders the page for a document and the table of errors.
pub(super) fn page(document: &Value, errors: &[Code]) -> String {
    let title = text(document, "/info/title");
    let operations = operations(document);
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><link rel=\"icon\" href=\"docs/favicon-32x32.png\">\
         <title>{title}</title><style>{STYLE}</style></head><body>",
        title = escape(title)
    );
    html += &navigation(document, &operations);
    let _ = write!(
        html,
        "<main><header><h1>{} <small>{}</small></h1>{}<p class=\"links\"><a href=\"openapi.json\">openapi.json</a> \
         <a href=\"docs/\">try it out</a></p></header>",
        escape(title),
        escape(text(document, "/info/version")),
        prose(text(document, "/info/description"))
    );
    for tag in list(document, "/tags") {
        let name = text(tag, "/name");
        let _ = write!(
            html,
            "<section><h2 id=\"tag-{0}\">{0}</h2><p>{1}</p>",
            escape(name),
            escape(text(tag, "/description"))
        );
        for operation in operations.iter().filter(|operation| operation.tag == name) {
            html += &operation_card(document, operation);
        }
        html += "</section>";
    }
    html += &error_table(errors);
    html += &schema_cards(document);
    html + "</main></body></html>\n"
}

/// One method of one path.
struct Operation<'a> {
    method: String,
    path: &'a str,
    tag: &'a str,
    value: &'a Value,
}

impl Operation<'_> {
    fn anchor(&self) -> String {
        let path: String =
            self.path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        format!("{}{path}", self.method.to_lowercase())
    }
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document.pointer("/paths").and_then(Value::as_object);
    let items = paths.into_iter().flatten().filter_map(|(path, item)| Some((path, item.as_object()?)));
    items
        .flat_map(|(path, item)| {
            item.iter().filter(|(_, value)| value.get("responses").is_some()).map(move |(method, value)| {
                Operation { method: method.to_uppercase(), path, tag: text(value, "/tags/0"), value }
            })
        })
        .collect()
}

fn navigation(document: &Value, operations: &[Operation<'_>]) -> String {
    let mut html = String::from("<nav>");
    for tag in list(document, "/tags") {
        let name = text(tag, "/name");
        let _ = write!(html, "<a class=\"group\" href=\"#tag-{0}\">{0}</a>", escape(name));
        for operation in operations.iter().filter(|operation| operation.tag == name) {
            let _ = write!(
                html,
                "<a href=\"#{}\"><b class=\"{method}\">{method}</b> {}</a>",
                operation.anchor(),
                escape(operation.path.trim_start_matches("/classifier")),
                method = escape(&operation.method),
            );
        }
    }
    html + "<a class=\"group\" href=\"#errors\">errors</a><a class=\"group\" href=\"#schemas\">schemas</a></nav>"
}

fn operation_card(document: &Value, operation: &Operation<'_>) -> String {
    let mut html = format!(
        "<article id=\"{}\"><h3><b class=\"{method}\">{method}</b> <code>{}</code></h3><p class=\"summary\">{}</p>{}",
        operation.anchor(),
        escape(operation.path),
        escape(text(operation.value, "/summary")),
        prose(text(operation.value, "/description")),
        method = escape(&operation.method),
    );
    html += &parameters(operation.value);
    for (kind, content) in object(operation.value, "/requestBody/content") {
        let _ = write!(html, "<h4>Body <code>{}</code></h4>{}", escape(kind), content_of(document, content));
    }
    html += "<h4>Answers</h4>";
    for (status, response) in object(operation.value, "/responses") {
        html += &answer(document, status, response);
    }
    html + "</article>"
}

fn parameters(operation: &Value) -> String {
    let all = list(operation, "/parameters");
    if all.is_empty() {
        return String::new();
    }
    let mut html = String::from("<h4>Parameters</h4><table>");
    for parameter in all {
        let example = parameter.get("example").or_else(|| parameter.pointer("/schema/example"));
        let example = example.map(|value| format!(" <i>e.g. <code>{}</code></i>", escape(&plain(value))));
        let _ = write!(
            html,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}{}</td></tr>",
            escape(text(parameter, "/name")),
            escape(text(parameter, "/in")),
            inline(text(parameter, "/description")),
            example.unwrap_or_default(),
        );
    }
    html + "</table>"
}

fn answer(document: &Value, status: &str, response: &Value) -> String {
    let class = status.chars().next().unwrap_or('x');
    let mut html = format!(
        "<details class=\"s{class}\"{}><summary><b>{}</b> {}</summary>",
        if class == '2' { " open" } else { "" },
        escape(status),
        inline(text(response, "/description"))
    );
    let headers = object(response, "/headers");
    if !headers.is_empty() {
        html += "<table>";
        for (name, header) in headers {
            let described = inline(text(header, "/description"));
            let _ = write!(html, "<tr><td><code>{}</code></td><td>{described}</td></tr>", escape(name));
        }
        html += "</table>";
    }
    for (_, content) in object(response, "/content") {
        html += &content_of(document, content);
    }
    html + "</details>"
}

/// The schema of a body by its name, and its example.
fn content_of(document: &Value, content: &Value) -> String {
    let Some(schema) = content.get("schema") else { return String::new() };
    let mut html = format!("<p>{}</p>", type_of(schema));
    let example = content.get("example").or_else(|| resolve(document, schema).get("example"));
    if let Some(example) = example {
        let _ = write!(html, "<pre>{}</pre>", escape(&pretty(example)));
    }
    html
}

fn error_table(errors: &[Code]) -> String {
    let mut html = String::from(
        "<section><h2 id=\"errors\">Errors</h2><p>Every error is <code>application/problem+json</code> with \
         <code>type</code>, <code>title</code>, <code>status</code>, <code>code</code> and \
         <code>detail</code>.</p><table>",
    );
    for code in errors {
        let _ = write!(
            html,
            "<tr id=\"error-{code}\"><td>{}</td><td><code>{code}</code></td><td>{}</td></tr>",
            problem::status(*code).as_u16(),
            escape(code.title()),
            code = code.name(),
        );
    }
    html + "</table></section>"
}

fn schema_cards(document: &Value) -> String {
    let mut html = String::from("<section><h2 id=\"schemas\">Schemas</h2>");
    for (name, schema) in object(document, "/components/schemas") {
        let _ = write!(
            html,
            "<article id=\"schema-{0}\"><h3><code>{0}</code></h3>{1}",
            escape(name),
            prose(text(schema, "/description"))
        );
        let required: Vec<&str> = list(schema, "/required").iter().filter_map(Value::as_str).collect();
        html += "<table>";
        for (key, property) in object(schema, "/properties") {
            let _ = write!(
                html,
                "<tr><td><code>{}</code>{}</td><td>{}</td><td>{}</td></tr>",
                escape(key),
                if required.contains(&key.as_str()) { "" } else { " <i>optional</i>" },
                type_of(property),
                inline(text(property, "/description")),
            );
        }
        html += "</table>";
        if let Some(example) = schema.get("example") {
            let _ = write!(html, "<pre>{}</pre>", escape(&pretty(example)));
        }
        html += "</article>";
    }
    html + "</section>"
}

/// Describes a schema in a word or two, with a link if it has a name.
fn type_of(schema: &Value) -> String {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()) {
        return format!("<a href=\"#schema-{0}\">{0}</a>", escape(name));
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        if let Some(choices) = schema.get(key).and_then(Value::as_array) {
            return choices.iter().map(type_of).collect::<Vec<_>>().join(" or ");
        }
    }
    let name = match schema.get("type") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        Some(Value::String(name)) => name.clone(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => "any".to_owned(),
    };
    match schema.get("items") {
        Some(items) if items.is_object() => format!("{} of {}", escape(&name), type_of(items)),
        Some(_) | None => escape(&name),
    }
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let path = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'));
    path.and_then(|path| document.pointer(path)).unwrap_or(schema)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn object<'a>(value: &'a Value, pointer: &str) -> Vec<(&'a String, &'a Value)> {
    value.pointer(pointer).and_then(Value::as_object).map(Map::iter).into_iter().flatten().collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// Paragraphs, with `code` in them.
fn prose(markdown: &str) -> String {
    let paragraphs = markdown.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty());
    paragraphs.map(|paragraph| format!("<p>{}</p>", inline(paragraph))).collect()
}

/// A line, with `code` in it.
fn inline(markdown: &str) -> String {
    let mut html = String::new();
    for (index, piece) in markdown.split('`').enumerate() {
        let piece = escape(piece);
        html += &if index % 2 == 1 { format!("<code>{piece}</code>") } else { piece };
    }
    html
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_in_a_document_becomes_markup() {
        let document =
            json!({"info": {"title": "<b>", "description": "a `<i>` & b"}, "tags": [], "paths": {}});
        let html = page(&document, &[]);
        assert!(html.contains("<title>&lt;b&gt;</title>"));
        assert!(html.contains("<p>a <code>&lt;i&gt;</code> &amp; b</p>"));
    }

    #[test]
    fn types_are_told_in_words() {
        assert_eq!(type_of(&json!({"type": "array", "items": {"type": "integer"}})), "array of integer");
        assert_eq!(type_of(&json!({"type": ["string", "null"]})), "string or null");
        assert_eq!(
            type_of(&json!({"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/A"}]})),
            "null or <a href=\"#schema-A\">A</a>"
        );
    }
}
