//! Values with `$variables`: compiled when the file is read, expanded for each exchange without allocating.
//!
//! `$request_id`, `$scheme`, `$client_ip`, `$host`, `$route`, and `$param.NAME` for the route's parameters. `$$` is a
//! dollar. A parameter that the route does not have expands to nothing.

use crate::address::AddressText;
use crate::facts::Facts;
use crate::nearest::nearest;

/// A value, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(Variable),
    Param(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variable {
    RequestId,
    Scheme,
    ClientIp,
    Host,
    Route,
}

const VARIABLES: [(&str, Variable); 5] = [
    ("request_id", Variable::RequestId),
    ("scheme", Variable::Scheme),
    ("client_ip", Variable::ClientIp),
    ("host", Variable::Host),
    ("route", Variable::Route),
];

/// A value that cannot be compiled: what is wrong, what was expected, and the fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TemplateError(String);

impl Template {
    /// Compiles a value.
    pub(crate) fn compile(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                literal.push('$');
                rest = after;
                continue;
            }
            let (piece, after) = variable(after)?;
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(piece);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self { pieces })
    }

    /// The value, if no variable is in it.
    pub(crate) fn literal(&self) -> Option<&str> {
        match &*self.pieces {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the value for an exchange.
    pub(crate) fn expand(&self, facts: &Facts, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            let text = match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Param(name) => facts.params.value(name).unwrap_or_default(),
                Piece::Variable(Variable::RequestId) => &facts.request_id,
                Piece::Variable(Variable::Scheme) => facts.scheme.as_str(),
                Piece::Variable(Variable::Host) => &facts.host,
                Piece::Variable(Variable::Route) => &facts.route,
                Piece::Variable(Variable::ClientIp) => {
                    out.extend_from_slice(AddressText::new(facts.client_ip).as_bytes());
                    continue;
                }
            };
            out.extend_from_slice(text.as_bytes());
        }
    }

    /// The route parameters that it names.
    pub(crate) fn params(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Param(name) => Some(name.as_str()),
            Piece::Text(_) | Piece::Variable(_) => None,
        })
    }
}

/// The variable at the front of what follows a dollar, and what follows the variable.
fn variable(text: &str) -> Result<(Piece, &str), TemplateError> {
    let (name, after) = word(text);
    if name == "param" {
        let (param, after) = word(after.strip_prefix('.').unwrap_or_default());
        if param.is_empty() {
            return Err(TemplateError("`$param` needs a name, as in `$param.id`".to_owned()));
        }
        return Ok((Piece::Param(param.to_owned()), after));
    }
    if let Some((_, variable)) = VARIABLES.iter().find(|(known, _)| *known == name) {
        return Ok((Piece::Variable(*variable), after));
    }
    if name.is_empty() {
        return Err(TemplateError("a `$` without a variable's name; a dollar is written `$$`".to_owned()));
    }
    let near = nearest(name, VARIABLES.iter().map(|(known, _)| *known).chain(["param"]));
    let near = near.map(|near| format!("; did you mean `${near}`?")).unwrap_or_default();
    let known: Vec<_> = VARIABLES.iter().map(|(known, _)| format!("${known}")).collect();
    let known = known.join(", ");
    Err(TemplateError(format!(
        "unknown variable `${name}`, known: {known}, $param.NAME{near} (a dollar is written `$$`)"
    )))
}

/// The longest run of letters, digits and underscores, and the rest.
fn word(text: &str) -> (&str, &str) {
    let end = text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Scheme;

    fn facts() -> Facts {
        let mut facts = Facts {
            client_ip: "::ffff:192.0.2.7".parse().unwrap(),
            scheme: Scheme::Https,
            request_id: "r-1".to_owned(),
            host: "example.com".to_owned(),
            route: "users".to_owned(),
            ..Facts::default()
        };
        facts.params.push("id", "42");
        facts
    }

    #[test]
    fn variables_expand_to_the_exchange_s_facts() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("$request_id", "r-1"),
            ("$scheme://$host/", "https://example.com/"),
            ("$client_ip", "192.0.2.7"),
            ("$route-$param.id.", "users-42."),
            ("[$param.other]", "[]"),
            ("$$host costs $$5", "$host costs $5"),
            ("$$$host", "$example.com"),
            ("é$host", "éexample.com"),
        ] {
            let mut out = Vec::new();
            Template::compile(text).unwrap().expand(&facts(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_variable_is_refused_with_the_nearest_one() {
        for (text, part) in [
            ("$hots", "did you mean `$host`?"),
            ("$requestid", "did you mean `$request_id`?"),
            ("$clientip", "did you mean `$client_ip`?"),
            ("$params.id", "did you mean `$param`?"),
            ("$hostx", "unknown variable `$hostx`"),
            ("$remote_addr", "known: $request_id, $scheme,"),
            ("5 $", "written `$$`"),
            ("$ host", "written `$$`"),
            ("${host}", "written `$$`"),
            ("$param", "needs a name"),
            ("$param.", "needs a name"),
            ("$param id", "needs a name"),
        ] {
            let error = Template::compile(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_value_without_variables_is_known_beforehand() {
        for (text, literal) in
            [("", Some("")), ("a$$b", Some("a$b")), ("$$", Some("$")), ("$host", None), ("a$host", None)]
        {
            assert_eq!(Template::compile(text).unwrap().literal(), literal, "{text}");
        }
    }

    #[test]
    fn the_parameters_are_listed() {
        let template = Template::compile("$param.id/$host/$param.name").unwrap();
        assert_eq!(template.params().collect::<Vec<_>>(), ["id", "name"]);
    }
}
