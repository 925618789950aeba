//! JSON with the place of every value and key, which a policy's diagnostics point to.
//!
//! `serde_json` reads values but does not tell where they stand, and takes the last of two equal
//! keys. This reader keeps places and all keys, and says how to fix the usual slips.

use std::ops::Range;

use super::diagnostic::DiagnosticCode;

/// How deep lists and objects may nest. A policy needs four levels.
const MAX_DEPTH: usize = 64;

/// A value and where it stands; no place when it was not read from text.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) span: Option<Range<usize>>,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Box<str>),
    String(Box<str>),
    Array(Vec<Node>),
    Object(Vec<Member>),
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) key: Box<str>,
    pub(super) key_span: Option<Range<usize>>,
    pub(super) node: Node,
}

impl Value {
    /// What the value is, with its article, for messages.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

impl Node {
    /// Takes over a value that was parsed elsewhere, unless it nests too deep to be walked.
    pub(super) fn from_value(value: &serde_json::Value) -> Parsed<Self> {
        Self::at_depth(value, 0)
    }

    fn at_depth(value: &serde_json::Value, depth: usize) -> Parsed<Self> {
        use serde_json::Value as Given;
        if depth > MAX_DEPTH {
            return Err(too_deep(0));
        }
        let deeper = depth.saturating_add(1);
        let value = match value {
            Given::Null => Value::Null,
            Given::Bool(value) => Value::Bool(*value),
            Given::Number(number) => Value::Number(number.to_string().into()),
            Given::String(text) => Value::String(text.as_str().into()),
            Given::Array(items) => Value::Array(
                items
                    .iter()
                    .map(|item| Self::at_depth(item, deeper))
                    .collect::<Parsed<_>>()?,
            ),
            Given::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(key, value)| {
                        Ok(Member {
                            key: key.as_str().into(),
                            key_span: None,
                            node: Self::at_depth(value, deeper)?,
                        })
                    })
                    .collect::<Parsed<_>>()?,
            ),
        };
        Ok(Self { span: None, value })
    }
}

/// Why a text is no JSON, and where.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) code: DiagnosticCode,
    pub(super) message: String,
    pub(super) span: Range<usize>,
}

type Parsed<T> = Result<T, SyntaxError>;

fn too_deep(at: usize) -> SyntaxError {
    SyntaxError {
        code: DiagnosticCode::TooDeep,
        message: format!("lists and objects are nested deeper than {MAX_DEPTH} levels"),
        span: at..at.saturating_add(1),
    }
}

/// Reads one JSON document.
pub(super) fn parse(text: &str) -> Parsed<Node> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_space();
    if reader.at == text.len() {
        return Err(SyntaxError {
            code: DiagnosticCode::EmptyDocument,
            message: "the policy is empty: it must be a JSON object".to_owned(),
            span: 0..0,
        });
    }
    let node = reader.value(0)?;
    reader.skip_space();
    if reader.at < text.len() {
        return Err(reader.unexpected("the end of the document"));
    }
    Ok(node)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.text.len());
    }

    fn skip_space(&mut self) {
        let space = |c| matches!(c, ' ' | '\t' | '\n' | '\r');
        self.at = self
            .text
            .len()
            .saturating_sub(self.rest().trim_start_matches(space).len());
    }

    /// Takes `byte` if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        let comes = self.peek() == Some(byte);
        if comes {
            self.skip(1);
        }
        comes
    }

    fn value(&mut self, depth: usize) -> Parsed<Node> {
        let start = self.at;
        if depth > MAX_DEPTH {
            return Err(too_deep(start));
        }
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Value::String(self.string()?.into()),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Node {
            span: Some(start..self.at),
            value,
        })
    }

    fn array(&mut self, depth: usize) -> Parsed<Value> {
        let open = self.at;
        let mut items = Vec::new();
        self.skip(1);
        self.skip_space();
        if self.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth.saturating_add(1))?);
            if self.ends(b']', open)? {
                return Ok(Value::Array(items));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Parsed<Value> {
        let open = self.at;
        let mut members = Vec::new();
        self.skip(1);
        self.skip_space();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            let key_start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.no_key());
            }
            let key = self.string()?;
            let key_span = Some(key_start..self.at);
            self.skip_space();
            if !self.take(b':') {
                return Err(self.unexpected("`:` after the key"));
            }
            self.skip_space();
            members.push(Member {
                key: key.into(),
                key_span,
                node: self.value(depth.saturating_add(1))?,
            });
            if self.ends(b'}', open)? {
                return Ok(Value::Object(members));
            }
        }
    }

    /// After an entry: whether the list or object opened at `open` closes; else takes the comma.
    fn ends(&mut self, close: u8, open: usize) -> Parsed<bool> {
        self.skip_space();
        if self.take(close) {
            return Ok(true);
        }
        let comma = self.at;
        if !self.take(b',') {
            let close = char::from(close);
            if self.peek().is_none() {
                let opened = self.text.get(open..).and_then(|text| text.chars().next());
                return Err(SyntaxError {
                    code: DiagnosticCode::Syntax,
                    message: format!(
                        "this `{}` is never closed: `{close}` is missing at the end",
                        opened.unwrap_or_default()
                    ),
                    span: open..open.saturating_add(1),
                });
            }
            return Err(self.unexpected(&format!("`,` or `{close}`")));
        }
        self.skip_space();
        if matches!(self.peek(), Some(b']' | b'}')) {
            return Err(SyntaxError {
                code: DiagnosticCode::TrailingComma,
                message: format!(
                    "trailing comma: JSON allows no `,` before `{}`; remove it",
                    self.peek().map(char::from).unwrap_or_default()
                ),
                span: comma..comma.saturating_add(1),
            });
        }
        Ok(false)
    }

    fn string(&mut self) -> Parsed<String> {
        let start = self.at;
        self.skip(1);
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let plain = rest
                .find(|c: char| matches!(c, '"' | '\\') || c < ' ')
                .unwrap_or(rest.len());
            text.push_str(rest.get(..plain).unwrap_or_default());
            self.skip(plain);
            match self.peek() {
                Some(b'"') => {
                    self.skip(1);
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => {
                    let line_end = self.at;
                    return Err(SyntaxError {
                        code: DiagnosticCode::Syntax,
                        message: "a string must end on the line it begins on: `\"` is missing, or \
                                  a control character must be written as an escape"
                            .to_owned(),
                        span: start..line_end,
                    });
                }
                None => {
                    return Err(SyntaxError {
                        code: DiagnosticCode::Syntax,
                        message: "this string is never closed: `\"` is missing".to_owned(),
                        span: start..start.saturating_add(1),
                    });
                }
            }
        }
    }

    fn escape(&mut self) -> Parsed<char> {
        let start = self.at;
        self.skip(1);
        let escaped = self.peek();
        self.skip(1);
        match escaped {
            Some(c @ (b'"' | b'\\' | b'/')) => Some(char::from(c)),
            Some(b'b') => Some('\u{8}'),
            Some(b'f') => Some('\u{c}'),
            Some(b'n') => Some('\n'),
            Some(b'r') => Some('\r'),
            Some(b't') => Some('\t'),
            Some(b'u') => self.unicode(),
            _ => None,
        }
        .ok_or_else(|| SyntaxError {
            code: DiagnosticCode::Syntax,
            message: "this is no escape that JSON knows: a `\\` is written as `\\\\`".to_owned(),
            span: start..start.saturating_add(2),
        })
    }

    /// The rest of `\uXXXX`, with its second half where it is one of a surrogate pair.
    fn unicode(&mut self) -> Option<char> {
        let high = self.four_digits()?;
        if !(0xd800..0xe000).contains(&high) {
            return char::from_u32(high);
        }
        if !self.rest().starts_with("\\u") {
            return None;
        }
        self.skip(2);
        let low = self.four_digits()?;
        let pair = [u16::try_from(high).ok()?, u16::try_from(low).ok()?];
        char::decode_utf16(pair).next()?.ok()
    }

    fn four_digits(&mut self) -> Option<u32> {
        let digits = self.rest().get(..4)?;
        self.skip(4);
        let all_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        all_digits
            .then(|| u32::from_str_radix(digits, 16).ok())
            .flatten()
    }

    /// A number, kept as it is written: no policy holds one, so only its form is checked.
    fn number(&mut self) -> Parsed<Value> {
        let start = self.at;
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.'));
        let text = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
            return Err(SyntaxError {
                code: DiagnosticCode::Unquoted,
                message: format!(
                    "`{0}` is no number; write it as a string, in double quotes",
                    crate::name::excerpt(text)
                ),
                span: start..start.saturating_add(text.len()),
            });
        }
        self.skip(text.len());
        Ok(Value::Number(text.into()))
    }

    /// `true`, `false` or `null`; else what it was meant to be.
    fn word(&mut self) -> Parsed<Value> {
        let rest = self.rest();
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        let value = match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            "" => return Err(self.unexpected("a value")),
            _ => {
                let lower = word.to_ascii_lowercase();
                let fix = match lower.as_str() {
                    "true" | "false" | "null" => format!("write `{lower}`"),
                    "none" | "nil" | "undefined" => "write `null`, or leave the key out".to_owned(),
                    _ => "a string stands in double quotes".to_owned(),
                };
                let start = self.at;
                return Err(SyntaxError {
                    code: DiagnosticCode::Unquoted,
                    message: format!("`{}` is no JSON value: {fix}", crate::name::excerpt(word)),
                    span: start..start.saturating_add(word.len()),
                });
            }
        };
        self.skip(word.len());
        Ok(value)
    }

    /// What stands where a key must.
    fn no_key(&self) -> SyntaxError {
        let rest = self.rest();
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        match rest.get(..end) {
            Some(word) if !word.is_empty() => SyntaxError {
                code: DiagnosticCode::Unquoted,
                message: format!(
                    "the key `{0}` must stand in double quotes: `\"{0}\"`",
                    crate::name::excerpt(word)
                ),
                span: self.at..self.at.saturating_add(word.len()),
            },
            _ => self.unexpected("a key in double quotes"),
        }
    }

    /// The error for what comes next where `expected` should.
    fn unexpected(&self, expected: &str) -> SyntaxError {
        let rest = self.rest();
        let found = rest.chars().next();
        let (code, message, len) = match found {
            Some('/') if rest.starts_with("//") || rest.starts_with("/*") => (
                DiagnosticCode::Comment,
                "JSON has no comments: remove this one".to_owned(),
                2,
            ),
            Some('#') => (
                DiagnosticCode::Comment,
                "JSON has no comments: remove this one".to_owned(),
                1,
            ),
            Some('\'') => (
                DiagnosticCode::SingleQuotes,
                "JSON strings are enclosed in double quotes: write `\"` in place of `'`".to_owned(),
                1,
            ),
            Some('\u{201c}' | '\u{201d}' | '\u{201e}') => (
                DiagnosticCode::SingleQuotes,
                "JSON strings are enclosed in straight double quotes: write `\"`".to_owned(),
                3,
            ),
            // The template of Azure's documentation has `"enabled": <true|false>`.
            Some('<') => {
                let line = rest.lines().next().unwrap_or_default();
                let len = line.find('>').map_or(1, |end| end.saturating_add(1));
                let placeholder = line.get(..len).unwrap_or_default();
                let fix = match placeholder {
                    "<true|false>" => "`true` or `false`",
                    _ => "a value",
                };
                (
                    DiagnosticCode::Syntax,
                    format!(
                        "`{}` is a placeholder: write {fix} in its place",
                        crate::name::excerpt(placeholder)
                    ),
                    len,
                )
            }
            Some(c) => (
                DiagnosticCode::Syntax,
                format!(
                    "expected {expected}, found `{}`",
                    crate::name::excerpt(&c.to_string())
                ),
                c.len_utf8(),
            ),
            None => (
                DiagnosticCode::Syntax,
                format!("expected {expected}, found the end of the document"),
                0,
            ),
        };
        SyntaxError {
            code,
            message,
            span: self.at..self.at.saturating_add(len),
        }
    }
}
