//! What a Rust source mentions: a small lexer that knows comments, strings and `use` trees, and leaves
//! out modules marked `#[cfg(test)]`.

use std::collections::BTreeSet;

/// The mentions in one file, each with its line.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Paths of two segments or more, and all that is imported.
    pub(super) paths: Vec<(usize, Vec<String>)>,
    /// Names that mean something of this workspace here: modules declared in the file, and what it
    /// imports from inside other paths.
    pub(super) local: BTreeSet<String>,
    /// The words `async` and `await`.
    pub(super) awaits: Vec<(usize, String)>,
    /// `env` inside `#[arg(…)]`.
    pub(super) env_attributes: Vec<usize>,
}

/// A word, `::`, or another single character.
#[derive(Debug, Clone, PartialEq)]
struct Token {
    line: usize,
    text: String,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    }
}

impl Source {
    /// Reads a file's text.
    pub(super) fn read(text: &str) -> Self {
        let tokens = without_tests(&lex(text));
        let mut source = Self::default();
        let mut at = 0;
        while at < tokens.len() {
            let token = &tokens[at];
            let before = at.checked_sub(1).map(|before| tokens[before].text.as_str());
            // `use<'a>` says what an `impl Trait` captures and imports nothing.
            let imports = tokens.get(at + 1).is_none_or(|next| next.text != "<");
            if token.text == "use" && before != Some("::") && imports {
                at = source.import(&tokens, at + 1, &[]);
                continue;
            }
            if matches!(token.text.as_str(), "async" | "await") {
                source.awaits.push((token.line, token.text.clone()));
            }
            if token.text == "mod"
                && let Some(name) = tokens.get(at + 1)
            {
                source.local.insert(name.text.clone());
            }
            if starts(&tokens[at..], &["#", "[", "arg", "("]) {
                let end = closing(&tokens, at + 1);
                let found = tokens[at..end].iter().filter(|inner| inner.text == "env");
                source.env_attributes.extend(found.map(|inner| inner.line));
            }
            at = if token.is_word() { source.path(&tokens, at) } else { at + 1 };
        }
        source
    }

    /// Notes the path that begins at `at`; returns where it ends.
    fn path(&mut self, tokens: &[Token], at: usize) -> usize {
        let mut segments = vec![tokens[at].text.clone()];
        let mut next = at + 1;
        while next + 1 < tokens.len() && tokens[next].text == "::" && tokens[next + 1].is_word() {
            segments.push(tokens[next + 1].text.clone());
            next += 2;
        }
        if segments.len() > 1 {
            self.paths.push((tokens[at].line, segments));
        }
        next
    }

    /// Notes every path of a `use` tree that begins at `at`, below `prefix`; returns where it ends.
    fn import(&mut self, tokens: &[Token], mut at: usize, prefix: &[String]) -> usize {
        let mut segments = prefix.to_vec();
        while at < tokens.len() {
            let token = &tokens[at];
            match token.text.as_str() {
                "{" => {
                    at += 1;
                    while at < tokens.len() && !matches!(tokens[at].text.as_str(), "}" | ";") {
                        at = self.import(tokens, at, &segments);
                        at += usize::from(tokens.get(at).is_some_and(|token| token.text == ","));
                    }
                    return at + 1;
                }
                "," | ";" | "}" | "as" => {
                    let line = tokens[at - 1].line;
                    if let [_, .., name] = segments.as_slice() {
                        self.local.insert(name.clone());
                    }
                    self.paths.push((line, segments));
                    // The new name behind `as` is no mention.
                    return if token.text == "as" { at + 2 } else { at };
                }
                "::" => {}
                "self" if segments.len() == prefix.len() && !prefix.is_empty() => {}
                word => segments.push(word.to_owned()),
            }
            at += 1;
        }
        at
    }
}

/// Whether the tokens begin with these texts.
fn starts(tokens: &[Token], texts: &[&str]) -> bool {
    tokens.len() >= texts.len() && tokens.iter().zip(texts).all(|(token, text)| token.text == *text)
}

/// The place behind the bracket that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// The tokens outside `#[cfg(test)] mod … { … }`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if starts(&tokens[at..], &["#", "[", "cfg", "(", "test", ")", "]", "mod"]) {
            let open = (at..tokens.len()).find(|i| matches!(tokens[*i].text.as_str(), "{" | ";"));
            at = open.map_or(tokens.len(), |open| closing(tokens, open));
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

fn lex(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment(rest)
        } else if let Some(length) = string(rest) {
            length
        } else if rest.starts_with("::") {
            tokens.push(Token { line, text: "::".to_owned() });
            2
        } else if first.is_alphanumeric() || first == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(Token { line, text: rest[..length].to_owned() });
            length
        } else {
            if !first.is_whitespace() {
                tokens.push(Token { line, text: first.to_string() });
            }
            first.len_utf8()
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// Length of the block comment at the start; they nest.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// Length of the string or character literal at the start, if there is one.
fn string(text: &str) -> Option<usize> {
    let body = text.strip_prefix("br").or_else(|| text.strip_prefix('r')).unwrap_or(text);
    let hashes = body.len() - body.trim_start_matches('#').len();
    if body.len() < text.len() && body[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let open = text.len() - body.len() + hashes + 1;
        return Some(text[open..].find(&end).map_or(text.len(), |at| open + at + end.len()));
    }
    let body = text.strip_prefix('b').unwrap_or(text);
    let quote = body.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let open = text.len() - body.len() + 1;
    if quote == '\'' && !body[1..].starts_with('\\') && body[1..].chars().nth(1) != Some('\'') {
        // A lifetime; its name is lexed as a word.
        return None;
    }
    let mut escaped = false;
    for (at, c) in text[open..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(open + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}
