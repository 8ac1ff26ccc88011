//! What is typed, read: a verb, its options in any order, and what stands beside them.

use std::ffi::OsString;
use std::path::PathBuf;

use ringway_config::load::Secrets;
use ringway_filters::nearest;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Run a file, or the demonstration.
    Run {
        config: Option<PathBuf>,
    },
    Check {
        file: PathBuf,
        effective: Effective,
        secrets: Secrets,
    },
    Explain(Asked),
    Routes {
        config: PathBuf,
    },
    Version,
    Help,
}

/// Whether `check` prints the effective configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effective {
    Print,
    Leave,
}

/// A request to explain.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) config: PathBuf,
    pub(super) listener: Option<String>,
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
}

const VERBS: [&str; 4] = ["run", "check", "explain", "routes"];

/// An option: its long name, its letter (or none), and whether a value follows.
struct Opt {
    long: &'static str,
    short: Option<char>,
    takes_value: bool,
}

const CONFIG: Opt = Opt { long: "--config", short: Some('c'), takes_value: true };
const EFFECTIVE: Opt = Opt { long: "--effective", short: None, takes_value: false };
const NO_SECRETS: Opt = Opt { long: "--no-secrets", short: None, takes_value: false };
const HEADER: Opt = Opt { long: "--header", short: Some('H'), takes_value: true };
const LISTENER: Opt = Opt { long: "--listener", short: Some('l'), takes_value: true };

/// Reads the arguments, without the program's name. The error is a sentence.
pub(super) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut arguments: Vec<OsString> = arguments.collect();
    let names = |name: &[&str]| arguments.iter().any(|argument| name.iter().any(|name| argument == name));
    if names(&["--help", "-h", "help"]) {
        return Ok(Command::Help);
    }
    if names(&["--version", "-V", "version"]) {
        return Ok(Command::Version);
    }
    let verb = match arguments.first().and_then(|first| first.to_str()) {
        Some(first) if !first.starts_with('-') => {
            let Some(verb) = VERBS.into_iter().find(|verb| *verb == first) else {
                let fix = nearest(first, VERBS).map_or_else(
                    || format!("to run a file, write `-c {first}`"),
                    |verb| format!("did you mean `{verb}`?"),
                );
                return Err(format!("there is no command `{first}`; {fix}"));
            };
            arguments.remove(0);
            verb
        }
        Some(_) | None => "run",
    };
    match verb {
        "check" => check(Given::read(arguments, &[CONFIG, EFFECTIVE, NO_SECRETS])?),
        "explain" => explain(Given::read(arguments, &[CONFIG, HEADER, LISTENER])?),
        "routes" => {
            let mut given = Given::read(arguments, &[CONFIG])?;
            let config = given.file("routes")?;
            given.nothing_more()?;
            Ok(Command::Routes { config })
        }
        _ => {
            let mut given = Given::read(arguments, &[CONFIG])?;
            let config = given.value(&CONFIG)?.map(PathBuf::from);
            given.nothing_more()?;
            Ok(Command::Run { config })
        }
    }
}

fn check(mut given: Given) -> Result<Command, String> {
    let effective = if given.has(&EFFECTIVE) { Effective::Print } else { Effective::Leave };
    let secrets = if given.has(&NO_SECRETS) { Secrets::Ignore } else { Secrets::Resolve };
    let file = given.file("check")?;
    given.nothing_more()?;
    Ok(Command::Check { file, effective, secrets })
}

fn explain(mut given: Given) -> Result<Command, String> {
    let Some(config) = given.value(&CONFIG)?.map(PathBuf::from) else {
        return Err("`explain` needs a file: ringway explain -c FILE METHOD URL".to_owned());
    };
    let listener = given.value(&LISTENER)?.map(|name| text(name, "a listener's name")).transpose()?;
    let mut headers = Vec::new();
    for header in given.values(&HEADER) {
        let header = text(header, "a header")?;
        let Some((name, value)) = header.split_once(':') else {
            return Err(format!("expected a header such as 'X-Beta: 1', found '{header}'"));
        };
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    if given.beside.len() < 2 {
        return Err("`explain` needs a method and a URL: ringway explain -c FILE METHOD URL".to_owned());
    }
    let (method, url) = (text(given.beside.remove(0), "a method")?, text(given.beside.remove(0), "a URL")?);
    given.nothing_more()?;
    Ok(Command::Explain(Asked { config, listener, method, url, headers }))
}

/// The options that were given, with their values, and what stands beside them.
#[derive(Default)]
struct Given {
    options: Vec<(&'static str, Option<OsString>)>,
    beside: Vec<OsString>,
}

impl Given {
    fn read(arguments: Vec<OsString>, known: &[Opt]) -> Result<Self, String> {
        let mut given = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let Some(typed) = argument.to_str().filter(|typed| typed.starts_with('-') && *typed != "-")
            else {
                given.beside.push(argument);
                continue;
            };
            if typed == "--" {
                given.beside.extend(arguments.by_ref());
                break;
            }
            let (option, attached) = find(typed, known)?;
            let value = match (option.takes_value, attached) {
                (true, Some(value)) => Some(OsString::from(value)),
                (true, None) => {
                    Some(arguments.next().ok_or_else(|| format!("`{typed}` needs a value after it"))?)
                }
                (false, None) => None,
                (false, Some(_)) => return Err(format!("`{}` takes no value", option.long)),
            };
            given.options.push((option.long, value));
        }
        Ok(given)
    }

    fn has(&self, option: &Opt) -> bool {
        self.options.iter().any(|(long, _)| *long == option.long)
    }

    fn values(&mut self, option: &Opt) -> Vec<OsString> {
        let is_it = |(long, _): &mut (&'static str, Option<OsString>)| *long == option.long;
        self.options.extract_if(.., is_it).filter_map(|(_, value)| value).collect()
    }

    /// The value of an option that is given at most once.
    fn value(&mut self, option: &Opt) -> Result<Option<OsString>, String> {
        let mut values = self.values(option).into_iter();
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(format!("`{}` is there twice", option.long)),
        }
    }

    /// The file: after `-c`, or alone.
    fn file(&mut self, verb: &str) -> Result<PathBuf, String> {
        if let Some(file) = self.value(&CONFIG)? {
            return Ok(PathBuf::from(file));
        }
        if self.beside.is_empty() {
            return Err(format!("`{verb}` needs a file: ringway {verb} FILE"));
        }
        Ok(PathBuf::from(self.beside.remove(0)))
    }

    fn nothing_more(&self) -> Result<(), String> {
        match self.beside.first() {
            Some(more) => Err(format!("there is nothing to do with `{}`", more.display())),
            None => Ok(()),
        }
    }
}

/// The option that is meant, and a value that hangs on it: `--config=FILE`, `-cFILE`.
fn find<'t, 'k>(typed: &'t str, known: &'k [Opt]) -> Result<(&'k Opt, Option<&'t str>), String> {
    if typed.starts_with("--") {
        let (name, value) = typed.split_once('=').map_or((typed, None), |(name, value)| (name, Some(value)));
        if let Some(option) = known.iter().find(|option| option.long == name) {
            return Ok((option, value));
        }
    } else {
        let mut letters = typed.strip_prefix('-').unwrap_or_default().chars();
        let letter = letters.next();
        if let Some(option) = known.iter().find(|option| option.short.is_some() && option.short == letter) {
            let rest = letters.as_str();
            return Ok((option, (!rest.is_empty()).then_some(rest)));
        }
    }
    let fix = nearest(typed, known.iter().map(|option| option.long));
    let fix = fix.map_or_else(String::new, |long| format!("; did you mean `{long}`?"));
    Err(format!("there is no option `{typed}` here{fix}"))
}

fn text(argument: OsString, what: &str) -> Result<String, String> {
    argument
        .into_string()
        .map_err(|argument| format!("expected {what} in UTF-8, found `{}`", argument.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(|word| OsString::from(word.replace('_', " "))))
    }

    fn run(config: Option<&str>) -> Command {
        Command::Run { config: config.map(PathBuf::from) }
    }

    fn check(effective: Effective, secrets: Secrets) -> Command {
        Command::Check { file: "f".into(), effective, secrets }
    }

    #[test]
    fn options_stand_in_any_order() {
        let asked = Asked {
            config: "f".into(),
            listener: Some("http".to_owned()),
            method: "GET".to_owned(),
            url: "/x".to_owned(),
            headers: vec![("A".to_owned(), "1: 2".to_owned()), ("B".to_owned(), String::new())],
        };
        for (line, expected) in [
            ("", run(None)),
            ("run", run(None)),
            ("-c f", run(Some("f"))),
            ("run --config=f", run(Some("f"))),
            ("run -cf", run(Some("f"))),
            ("check f", check(Effective::Leave, Secrets::Resolve)),
            ("check -c f", check(Effective::Leave, Secrets::Resolve)),
            ("check -- f", check(Effective::Leave, Secrets::Resolve)),
            ("check f --no-secrets --effective", check(Effective::Print, Secrets::Ignore)),
            ("explain GET -c f -H A:_1:_2 /x -l http --header=B:", Command::Explain(asked)),
            ("routes -c f", Command::Routes { config: "f".into() }),
            ("--version", Command::Version),
            ("check -V", Command::Version),
            ("explain --help", Command::Help),
            ("-h", Command::Help),
        ] {
            assert_eq!(read(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (line, expected) in [
            ("chek f", "there is no command `chek`; did you mean `check`?"),
            ("gateway.toml", "there is no command `gateway.toml`; to run a file, write `-c gateway.toml`"),
            ("run f", "there is nothing to do with `f`"),
            ("run -c", "`-c` needs a value after it"),
            ("run -c a -c b", "`--config` is there twice"),
            ("check", "`check` needs a file: ringway check FILE"),
            ("check f g", "there is nothing to do with `g`"),
            ("check --efective f", "there is no option `--efective` here; did you mean `--effective`?"),
            ("check --effective=1 f", "`--effective` takes no value"),
            ("routes -H x:y -c f", "there is no option `-H` here"),
            ("explain GET /x", "`explain` needs a file: ringway explain -c FILE METHOD URL"),
            ("explain -c f GET", "`explain` needs a method and a URL: ringway explain -c FILE METHOD URL"),
            ("explain -c f GET /x -H A", "expected a header such as 'X-Beta: 1', found 'A'"),
            ("explain -c f GET /x more", "there is nothing to do with `more`"),
        ] {
            assert_eq!(read(line), Err(expected.to_owned()), "{line}");
        }
    }
}
