//! What a registry asks for when it answers 401.

/// How a registry wants to be asked
/// ([RFC 9110, section 11.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    /// With a token, to be had from `realm`.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

impl Challenge {
    /// The challenge to meet, of all that the headers hold: a token if one is asked for.
    ///
    /// # Errors
    ///
    /// The names of what is asked for, when none of it can be met.
    pub(super) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut asked = Vec::new();
        let mut basic = false;
        for challenge in headers.flat_map(split) {
            let param = |name: &str| {
                let mut params = challenge.params.iter();
                params.find(|param| param.0 == name).map(|p| p.1.clone())
            };
            match (challenge.scheme.as_str(), param("realm")) {
                ("bearer", Some(realm)) => {
                    return Ok(Self::Bearer {
                        realm,
                        service: param("service"),
                        scope: param("scope").filter(|scope| !scope.is_empty()),
                    });
                }
                ("basic", _) => basic = true,
                _ => asked.push(challenge.scheme),
            }
        }
        if basic {
            Ok(Self::Basic)
        } else {
            Err(asked.join(", "))
        }
    }
}

struct Raw {
    /// Lower case.
    scheme: String,
    params: Vec<(String, String)>,
}

/// Splits one header into its challenges. Takes what it can make sense of, up to a bound.
fn split(header: &str) -> Vec<Raw> {
    const MOST: usize = 64;
    let mut challenges: Vec<Raw> = Vec::new();
    let mut rest = header;
    for _ in 0..MOST {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = take_token(rest);
        if word.is_empty() {
            break;
        }
        let spaced = after.trim_start_matches([' ', '\t']);
        // `name=value` belongs to the challenge before; a word alone begins a new one.
        if let Some(value) = spaced.strip_prefix('=').filter(|_| !challenges.is_empty()) {
            let (value, after) = take_value(value.trim_start_matches([' ', '\t']));
            if let Some(challenge) = challenges.last_mut() {
                challenge.params.push((word.to_ascii_lowercase(), value));
            }
            rest = after;
        } else {
            challenges.push(Raw {
                scheme: word.to_ascii_lowercase(),
                params: Vec::new(),
            });
            rest = after;
        }
    }
    challenges
}

fn take_token(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_graphic() || matches!(c, '=' | ',' | '"'))
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => value.extend(chars.next()),
            c => value.push(c),
        }
    }
    (value, chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(headers: &[&str]) -> Result<Challenge, String> {
        Challenge::choose(headers.iter().copied())
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn challenges_in_every_form() {
        let full = bearer("https://a/t", Some("a"), Some("repository:x:pull,push"));
        for header in [
            r#"Bearer realm="https://a/t",service="a",scope="repository:x:pull,push""#,
            r#"bearer Realm = "https://a/t" , service=a,scope="repository:x:pull,push", error=x"#,
            r#"Basic realm="a, b", Bearer realm="https://a/t",service="a",scope="repository:x:pull,push""#,
            r#", ,Negotiate, Bearer realm="https:\/\/a/t",service="a",scope="repository:x:pull,push""#,
        ] {
            assert_eq!(choose(&[header]), Ok(full.clone()), "{header}");
        }
        assert_eq!(
            choose(&["Basic realm=x", "Bearer realm=\"https://a/t\",scope=\"\""]),
            Ok(bearer("https://a/t", None, None))
        );
        assert_eq!(choose(&["BASIC"]), Ok(Challenge::Basic));
    }

    #[test]
    fn what_cannot_be_met() {
        for (headers, asked) in [
            (&[][..], ""),
            (&[""][..], ""),
            (&["Negotiate", "NTLM abc=="][..], "negotiate, ntlm"),
            (&["Bearer service=\"a\""][..], "bearer"),
            (&["=====,,,\"\""][..], ""),
            (&["Bearer realm"][..], "bearer, realm"),
        ] {
            assert_eq!(choose(headers), Err(asked.to_owned()), "{headers:?}");
        }
        assert_eq!(
            choose(&["Bearer realm=\"unclosed"]),
            Ok(bearer("unclosed", None, None))
        );
    }
}
