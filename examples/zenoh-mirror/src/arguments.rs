//! What is mirrored where to.

use std::collections::HashSet;

pub(crate) const USAGE: &str = "\
usage: zenoh-mirror (--listen ENDPOINT | --connect ENDPOINT)... (--export NAME[=KEY] | --import NAME[=KEY])...

  --listen tcp/0.0.0.0:7447       others may connect here
  --connect tcp/192.0.2.1:7447    connects there, and again whenever the connection is lost
  --export NAME[=KEY]             the value NAME of this machine is shown to others, as KEY
  --import NAME[=KEY]             the value NAME of this machine becomes a copy of what others show as KEY

KEY is robust-shm/NAME where none is given.";

/// A value here, and what it is called between machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) name: String,
    pub(crate) key: String,
}

impl Route {
    fn parse(text: &str) -> Result<Self, String> {
        // The last one, as keys have none.
        let (name, key) = match text.rsplit_once('=') {
            Some((name, key)) => (name.to_owned(), key.to_owned()),
            None => (text.to_owned(), format!("robust-shm/{text}")),
        };
        let is_key = !key.contains(['*', '$', '?', '#']) && key.split('/').all(|part| !part.is_empty());
        match is_key {
            true if !name.is_empty() => Ok(Self { name, key }),
            true => Err(format!("{text:?} has no name")),
            false => Err(format!("{key:?} is no key for one value: parts between single slashes, without * $ ? #")),
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) listen: Vec<String>,
    pub(crate) connect: Vec<String>,
    pub(crate) exports: Vec<Route>,
    pub(crate) imports: Vec<Route>,
}

impl Arguments {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut found = Self::default();
        while let Some(option) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{option} wants a value"));
            match &*option {
                "--listen" => found.listen.push(value()?),
                "--connect" => found.connect.push(value()?),
                "--export" => found.exports.push(Route::parse(&value()?)?),
                "--import" => found.imports.push(Route::parse(&value()?)?),
                _ => return Err(format!("there is no {option:?}")),
            }
        }
        if found.listen.is_empty() && found.connect.is_empty() {
            return Err("nobody to talk to: --listen or --connect is missing".to_owned());
        }
        if found.routes().next().is_none() {
            return Err("nothing to mirror: --export or --import is missing".to_owned());
        }
        found.check_each_goes_one_way()?;
        Ok(found)
    }

    pub(crate) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.exports.iter().chain(&self.imports)
    }

    /// What came in by a key and went out by the same one would come back, and would never rest.
    fn check_each_goes_one_way(&self) -> Result<(), String> {
        let (mut names, mut keys) = (HashSet::new(), HashSet::new());
        for Route { name, key } in self.routes() {
            if !names.insert(name) {
                return Err(format!(
                    "{name:?} is mirrored twice: a value has one writer, and its mirrors one direction"
                ));
            }
            if !keys.insert(key) {
                return Err(format!("{key:?} is used twice: a key has one writer, and its mirrors one direction"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_key_is_made_of_the_name_unless_it_is_given() {
        let found = parse("--listen tcp/127.0.0.1:0 --export a --import b=plant/b --import c=d=e").unwrap();
        let route = |name: &str, key: &str| Route { name: name.to_owned(), key: key.to_owned() };
        assert_eq!(found.exports, [route("a", "robust-shm/a")]);
        assert_eq!(found.imports, [route("b", "plant/b"), route("c=d", "e")]);
    }

    #[test]
    fn what_cannot_be_is_said_in_a_sentence() {
        for (line, why) in [
            ("--export a", "nobody to talk to"),
            ("--listen tcp/x:1", "nothing to mirror"),
            ("--listen", "--listen wants a value"),
            ("--listen tcp/x:1 --port 7", "there is no \"--port\""),
            ("--listen tcp/x:1 --export =k", "has no name"),
            ("--listen tcp/x:1 --export a=k/*", "no key for one value"),
            ("--listen tcp/x:1 --export a=k//b", "no key for one value"),
            ("--listen tcp/x:1 --export a --import a=other", "\"a\" is mirrored twice"),
            ("--listen tcp/x:1 --export a=k --import b=k", "\"k\" is used twice"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
