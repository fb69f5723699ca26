//! Keeps passwords out of all that is shown or recorded.

use std::borrow::Cow;

const HIDDEN: &str = "***";

/// Replaces the passwords of the URLs in a text: `scheme://user:password@host`, and `password=...` in a query or
/// a list of connection parameters.
#[must_use]
pub fn passwords(text: &str) -> Cow<'_, str> {
    if !text.contains("://") && !text.contains("password=") {
        return Cow::Borrowed(text);
    }
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let authority = rest.find("://").map(|at| at + "://".len());
        let parameter = rest.find("password=").map(|at| at + "password=".len());
        let (Some(at), is_authority) = (match (authority, parameter) {
            (Some(a), Some(p)) => (Some(a.min(p)), a < p),
            (a, p) => (a.or(p), a.is_some()),
        }) else {
            break;
        };
        output.push_str(&rest[..at]);
        rest = &rest[at..];
        if is_authority {
            // A password may hold an unescaped `/` or `@`: the last `@` before a blank or a quote counts.
            let end = rest.find(|c: char| c.is_whitespace() || "\"'`<>".contains(c)).unwrap_or(rest.len());
            if let Some(host) = rest[..end].rfind('@')
                && let Some(colon) = rest[..host].find(':')
            {
                output.push_str(&rest[..=colon]);
                output.push_str(HIDDEN);
                rest = &rest[host..];
            }
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || "&\"'`<>,;)".contains(c)).unwrap_or(rest.len());
            output.push_str(HIDDEN);
            rest = &rest[end..];
        }
    }
    output.push_str(rest);
    Cow::Owned(output)
}

#[cfg(test)]
mod tests {
    use super::passwords;

    #[test]
    fn passwords_are_hidden() {
        for (text, expected) in [
            ("no url", "no url"),
            ("postgres://u:secret@h:5432/d", "postgres://u:***@h:5432/d"),
            ("at `postgres://u:p@ss/w@h/d` now", "at `postgres://u:***@h/d` now"),
            ("postgres://u@h/d and http://h/?a@b:c", "postgres://u@h/d and http://h/?a@b:c"),
            ("postgres://h/d?user=u&password=secret&x=1", "postgres://h/d?user=u&password=***&x=1"),
            ("a://u:one@h b://v:two@i password=three", "a://u:***@h b://v:***@i password=***"),
        ] {
            assert_eq!(passwords(text), expected);
        }
    }
}
