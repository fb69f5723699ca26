//! What a statement wants that its role may not do: some of it is done for it, so that what follows can be judged.

use std::ops::Range;

use super::Profile;
use super::words::{Word, WordKind, dollar_content, words};
use crate::migrations::source::Script;
use crate::migrations::sql::Statement;

/// What a statement does to the transaction around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// Begins one.
    Begin,
    /// Commits it, or gives it out of the session's hands.
    Commit,
    /// Rolls it back.
    Rollback,
}

/// What a script may want beyond its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reach {
    /// Roles, which all databases of a server have together.
    Role,
    /// An extension that only a superuser may create.
    Extension,
    /// A program on the server's machine.
    Program,
    /// A file on the server's machine.
    File,
    /// Other databases, or this one as a whole.
    Database,
    /// The server's settings, processes, storage or connections.
    Server,
}

/// A role that a script makes, changes or drops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoleWish {
    pub(crate) verb: RoleVerb,
    pub(crate) name: String,
    /// Whether it is no error if there is, or is not, such a role.
    pub(crate) lenient: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoleVerb {
    Create,
    Alter,
    Drop,
}

/// How a statement is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Intent {
    /// As it is.
    Plain,
    /// Not at all: it is about roles, and that is done by us.
    Roles(Vec<RoleWish>),
    /// With another text, of as many characters, after roles were seen to.
    Rewritten(Vec<RoleWish>, String),
    /// With the rights that this extension may need.
    Extension(String),
    /// Not at all: it only says again what is so.
    Idle,
    /// It sends rows to the client.
    CopyToClient,
}

/// What a statement does to transactions, if that is all that it does.
pub(crate) fn control(text: &str) -> Option<Control> {
    let mut words = words(text);
    let first = words.next()?;
    let second = words.next();
    let second_is = |key_word| second.as_ref().is_some_and(|word| word.is(key_word));
    if first.kind != WordKind::Plain {
        return None;
    }
    match first.text.as_str() {
        "begin" => Some(Control::Begin),
        "start" if second_is("transaction") => Some(Control::Begin),
        "commit" | "end" if !second_is("prepared") => Some(Control::Commit),
        "prepare" if second_is("transaction") => Some(Control::Commit),
        "abort" => Some(Control::Rollback),
        "rollback" if !second_is("prepared") => {
            let mut rest = second.into_iter().chain(words);
            let to =
                rest.find(|word| !word.is("work") && !word.is("transaction")).is_some_and(|word| word.is("to"));
            (!to).then_some(Control::Rollback)
        }
        _ => None,
    }
}

/// Whether a script stays in its runner's transaction. Within one, only statements of the script itself can end it:
/// functions and procedures cannot.
pub(crate) fn keeps_its_transaction(script: &Script) -> bool {
    let ends = |statement: &Statement| {
        matches!(control(script.statement(statement)), Some(Control::Commit | Control::Rollback))
    };
    script.in_transaction && !script.statements.iter().any(ends)
}

/// How a statement is to be run.
pub(crate) fn intent(text: &str, profile: Profile) -> Intent {
    let Some(first) = words(text).next().filter(|word| word.kind == WordKind::Plain) else { return Intent::Plain };
    match first.text.as_str() {
        "create" | "alter" | "drop" | "set" => {
            let words: Vec<Word> = words(text).collect();
            if let Some((wishes, _)) = role_statement(&words) {
                return Intent::Roles(wishes);
            }
            if let Some(name) = extension(&words) {
                return Intent::Extension(name);
            }
            hosted(text, &words, profile)
        }
        "do" => do_block(text),
        "copy" => {
            let words: Vec<Word> = words(text).collect();
            let to_client = words.windows(2).any(|pair| pair[0].is("to") && pair[1].is("stdout"));
            if to_client { Intent::CopyToClient } else { Intent::Plain }
        }
        _ => Intent::Plain,
    }
}

/// On a hosted platform migrations are run by `postgres`, which is no superuser there; here another role stands for it.
fn hosted(text: &str, words: &[Word], profile: Profile) -> Intent {
    if profile != Profile::Supabase {
        return Intent::Plain;
    }
    let is_runner = |word: &Word| word.name() == Some("postgres");
    if let [.., owner, to, role] = words
        && owner.is("owner")
        && to.is("to")
        && is_runner(role)
    {
        return Intent::Idle;
    }
    if let [set, role, name] = words
        && set.is("set")
        && role.is("role")
        && is_runner(name)
    {
        return Intent::Idle;
    }
    if let [alter, default, privileges, rest @ ..] = words
        && alter.is("alter")
        && default.is("default")
        && privileges.is("privileges")
        && let [for_, role, name, ..] = rest
        && for_.is("for")
        && (role.is("role") || role.is("user"))
        && is_runner(name)
    {
        return Intent::Rewritten(Vec::new(), blanked(text, &[(for_.range.start..name.range.end, "")]));
    }
    Intent::Plain
}

/// Reads `CREATE ROLE name`, `ALTER ROLE name` and `DROP ROLE name, ...` at the beginning; also says how many words
/// name them.
fn role_statement(words: &[Word]) -> Option<(Vec<RoleWish>, usize)> {
    let [verb, kind, rest @ ..] = words else { return None };
    let verb = [("create", RoleVerb::Create), ("alter", RoleVerb::Alter), ("drop", RoleVerb::Drop)]
        .into_iter()
        .find_map(|(word, found)| verb.is(word).then_some(found))?;
    let is_group = kind.is("group");
    if !(kind.is("role") || kind.is("user") || is_group) || rest.first()?.is("mapping") {
        return None;
    }
    // To add a member is a grant, which its role may do.
    if is_group && verb == RoleVerb::Alter {
        return None;
    }
    let lenient = matches!(rest, [if_, ..] if if_.is("if"));
    let names = if lenient { rest.get(2..)? } else { rest };
    let name = |word: &Word| word.name().map(str::to_owned);
    let wish = |name| RoleWish { verb, name, lenient };
    let first = name(names.first()?)?;
    let own = ["current_user", "current_role", "session_user", "all"];
    if verb != RoleVerb::Create && own.contains(&first.as_str()) {
        return None;
    }
    let mut wishes = vec![wish(first)];
    if verb == RoleVerb::Drop {
        let others = names.chunks(2).skip(1).map_while(|pair| name(pair.first()?));
        wishes.extend(others.map(wish));
    }
    Some((wishes, 2))
}

/// `CREATE EXTENSION [IF NOT EXISTS] name`.
fn extension(words: &[Word]) -> Option<String> {
    let [create, extension, rest @ ..] = words else { return None };
    if !create.is("create") || !extension.is("extension") {
        return None;
    }
    let name = if rest.first()?.is("if") { rest.get(3)? } else { rest.first()? };
    name.name().map(str::to_owned)
}

/// A block that makes roles has these statements taken out, as they would be refused.
fn do_block(text: &str) -> Intent {
    let Some(body) = words(text).find(|word| word.kind == WordKind::Dollar) else { return Intent::Plain };
    let Some(quoted) = text.get(body.range.clone()) else { return Intent::Plain };
    let start = body.range.start + dollar_content(quoted).start;
    let content: Vec<Word> = words(&body.text).collect();
    let mut wishes = Vec::new();
    let mut edits: Vec<(Range<usize>, &str)> = Vec::new();
    for (at, word) in content.iter().enumerate() {
        let rest = &content[at..];
        let moved = |range: Range<usize>| start + range.start..start + range.end;
        let begins = at.checked_sub(1).and_then(|before| content.get(before)).is_none_or(|before| {
            before.is_sign(";") || ["begin", "then", "else", "loop"].iter().any(|word| before.is(word))
        });
        if begins && let Some((found, _)) = role_statement(rest) {
            let end = rest.iter().position(|word| word.is_sign(";")).unwrap_or(rest.len());
            let end = rest.get(end.saturating_sub(1)).map_or(word.range.end, |last| last.range.end);
            wishes.extend(found);
            edits.push((moved(word.range.start..end), "NULL"));
        }
        if word.is("execute")
            && let Some(string) = rest.get(1).filter(|next| next.kind == WordKind::Text)
            && rest.get(2).is_some_and(|next| next.is_sign(";"))
        {
            let inner: Vec<Word> = words(&string.text).collect();
            if let Some((found, _)) = role_statement(&inner) {
                wishes.extend(found);
                edits.push((moved(string.range.clone()), "'SELECT 1'"));
            }
        }
    }
    if wishes.is_empty() { Intent::Plain } else { Intent::Rewritten(wishes, blanked(text, &edits)) }
}

/// The text with some parts replaced by others of as many characters, so that positions stay what they are.
fn blanked(text: &str, edits: &[(Range<usize>, &str)]) -> String {
    let mut result = String::with_capacity(text.len());
    let mut at = 0;
    for (range, new) in edits {
        let (Some(before), Some(old)) = (text.get(at..range.start), text.get(range.clone())) else { continue };
        result.push_str(before);
        let mut new = new.chars();
        result.extend(old.chars().map(|old| match new.next() {
            Some(new) => new,
            None if old == '\n' => '\n',
            None => ' ',
        }));
        at = range.end;
    }
    result.push_str(text.get(at..).unwrap_or_default());
    result
}

/// What a statement, as it begins, reaches for beyond its database.
pub(crate) fn reach(text: &str) -> Option<Reach> {
    let mut all = words(text);
    let (first, second) = (all.next()?, all.next()?);
    let verb = ["create", "alter", "drop"].iter().any(|verb| first.is(verb));
    if verb {
        let kinds = [
            ("database", Reach::Database),
            ("tablespace", Reach::Server),
            ("subscription", Reach::Server),
            ("system", Reach::Server),
        ];
        let kind = kinds.into_iter().find_map(|(word, reach)| second.is(word).then_some(reach));
        // Its settings are the database's own business.
        let is_setting = first.is("alter")
            && second.is("database")
            && all.nth(1).is_some_and(|word| word.is("set") || word.is("reset") || word.is("refresh"));
        return kind.filter(|_| !is_setting);
    }
    if first.is("copy") {
        let rest: Vec<Word> = all.collect();
        return rest.windows(2).find_map(|pair| match pair {
            [from, target] if from.is("from") || from.is("to") => match target.kind {
                WordKind::Text | WordKind::Dollar => Some(Reach::File),
                WordKind::Plain if target.text == "program" => Some(Reach::Program),
                _ => None,
            },
            _ => None,
        });
    }
    first.is("load").then_some(Reach::Server)
}

/// What a refused statement reached for, as far as the server's answer says it: it may have happened in a function.
pub(crate) fn reach_of_refusal(sqlstate: &str, message: &str) -> Option<Reach> {
    if sqlstate != "42501" {
        return None;
    }
    let says = |fragments: &[&str]| fragments.iter().any(|fragment| message.contains(fragment));
    if says(&["external program"]) {
        Some(Reach::Program)
    } else if says(&[
        "to a file",
        "from a file",
        "function lo_import",
        "function lo_export",
        "function pg_read_",
        "function pg_ls_",
        "function pg_stat_file",
        "function pg_file_",
    ]) {
        Some(Reach::File)
    } else if says(&["create role", "alter role", "drop role"]) {
        Some(Reach::Role)
    } else if says(&["create database", "of database", "function pg_promote"]) {
        Some(Reach::Database)
    } else if says(&[
        "tablespace",
        "subscription",
        "system",
        "function pg_reload_conf",
        "function pg_rotate_logfile",
        "function pg_switch_wal",
        "replication",
        "terminate",
        "cancel",
    ]) {
        Some(Reach::Server)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(intent: &Intent) -> Vec<&str> {
        match intent {
            Intent::Roles(wishes) | Intent::Rewritten(wishes, _) => {
                wishes.iter().map(|wish| wish.name.as_str()).collect()
            }
            _ => Vec::new(),
        }
    }

    #[test]
    fn statements_about_roles_are_known() {
        for (text, expected) in [
            ("CREATE ROLE app", vec!["app"]),
            ("create user \"The App\" PASSWORD 'x'", vec!["The App"]),
            ("DROP ROLE IF EXISTS a, b", vec!["a", "b"]),
            ("ALTER ROLE app SET search_path = x", vec!["app"]),
            ("ALTER ROLE CURRENT_USER SET search_path = x", vec![]),
            ("CREATE USER MAPPING FOR app SERVER s", vec![]),
            ("ALTER GROUP g ADD USER u", vec![]),
            ("CREATE TABLE role (id int)", vec![]),
        ] {
            assert_eq!(names(&intent(text, Profile::Plain)), expected, "{text}");
        }
    }

    #[test]
    fn a_block_loses_what_makes_roles_and_nothing_else() {
        let text = "DO $x$ BEGIN\n IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'é') THEN\n  CREATE ROLE app\n \
                    LOGIN PASSWORD 'é';\n END IF; EXECUTE 'CREATE ROLE other'; PERFORM 1; END $x$";
        let found = intent(text, Profile::Plain);
        assert_eq!(names(&found), ["app", "other"]);
        let Intent::Rewritten(_, rewritten) = found else { panic!("expected another text") };
        assert_eq!(rewritten.chars().count(), text.chars().count());
        assert!(!rewritten.contains("CREATE ROLE"), "{rewritten}");
        assert!(rewritten.contains("PERFORM 1") && rewritten.contains("'SELECT 1'"), "{rewritten}");
        assert_eq!(rewritten.find("END IF"), text.find("END IF").map(|at| at - 1), "{rewritten}");
    }

    #[test]
    fn transactions_are_followed() {
        for (text, expected) in [
            ("BEGIN", Some(Control::Begin)),
            ("START TRANSACTION ISOLATION LEVEL SERIALIZABLE", Some(Control::Begin)),
            ("/* x */ COMMIT AND NO CHAIN", Some(Control::Commit)),
            ("END", Some(Control::Commit)),
            ("COMMIT PREPARED 'a'", None),
            ("PREPARE TRANSACTION 'a'", Some(Control::Commit)),
            ("PREPARE a AS SELECT 1", None),
            ("ROLLBACK", Some(Control::Rollback)),
            ("ROLLBACK WORK TO SAVEPOINT a", None),
            ("ROLLBACK TO a", None),
            ("SELECT 1", None),
        ] {
            assert_eq!(control(text), expected, "{text}");
        }
    }

    #[test]
    fn what_reaches_outside_is_known() {
        for (text, expected) in [
            ("COPY t TO PROGRAM 'sh'", Some(Reach::Program)),
            ("COPY (SELECT 1) TO '/tmp/x'", Some(Reach::File)),
            ("COPY t FROM stdin", None),
            ("DROP DATABASE production", Some(Reach::Database)),
            ("ALTER DATABASE mine SET search_path = a", None),
            ("ALTER SYSTEM SET fsync = off", Some(Reach::Server)),
            ("CREATE TABLE database (id int)", None),
        ] {
            assert_eq!(reach(text), expected, "{text}");
        }
    }

    #[test]
    fn the_runner_of_a_hosted_platform_has_another_name() {
        let hosted = |text| intent(text, Profile::Supabase);
        assert_eq!(hosted("ALTER TABLE public.a OWNER TO \"postgres\""), Intent::Idle);
        let text = "ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON TABLES TO anon";
        let Intent::Rewritten(_, rewritten) = hosted(text) else { panic!("expected another text") };
        assert!(!rewritten.contains("postgres") && rewritten.len() == text.len(), "{rewritten}");
        assert_eq!(intent(text, Profile::Plain), Intent::Plain);
    }
}
