//! Bytes as text, or what they are instead.

use super::problem::{Problem, ProblemKind};
use crate::event::{Level, Place};

/// The byte order mark in UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// A file's text, and whether a byte order mark stood before it.
pub(super) struct Decoded {
    pub(super) text: String,
    pub(super) has_bom: bool,
}

/// The text of a file without the mark at its beginning, so that places are those that editors show.
pub(super) fn decode(file: &str, mut bytes: Vec<u8>) -> Result<Decoded, Box<Problem>> {
    let refuse = |found: String, help: String| {
        let message = format!("expected text in UTF-8, found {found}");
        Err(Box::new(Problem::new(ProblemKind::Encoding, file, message, help)))
    };
    let from =
        |encoding: &str| format!("iconv -f {encoding} -t UTF-8 {file} > {file}.new && mv {file}.new {file}");
    match bytes.as_slice() {
        [0xff, 0xfe, ..] => {
            let help = format!("convert it ({}); PowerShell's `>` writes this encoding", from("UTF-16"));
            return refuse("UTF-16 with the low byte first".to_owned(), help);
        }
        [0xfe, 0xff, ..] => {
            return refuse(
                "UTF-16 with the high byte first".to_owned(),
                format!("convert it ({})", from("UTF-16")),
            );
        }
        _ => {}
    }
    let has_bom = bytes.starts_with(BOM);
    if has_bom {
        bytes.drain(..BOM.len());
    }
    let zeros = bytes.iter().take(4096).filter(|byte| **byte == 0).count();
    if zeros * 4 > bytes.len().min(4096) && bytes.len() > 3 {
        let help =
            format!("if it is UTF-16, convert it ({}); if it is no SQL, move it elsewhere", from("UTF-16LE"));
        return refuse("many NUL bytes, as in UTF-16 or a binary file".to_owned(), help);
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let bytes = error.into_bytes();
            let line = bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
            let found =
                format!("byte 0x{:02x} at offset {at}, in line {line}", bytes.get(at).copied().unwrap_or(0));
            let help = format!("save it as UTF-8; if it is Latin-1: {}", from("LATIN1"));
            return refuse(found, help);
        }
    };
    if let Some(at) = text.find('\0') {
        let problem = Problem::new(
            ProblemKind::Encoding,
            file,
            format!("expected text, found NUL at offset {at}: Postgres reads no further than that"),
            "remove the NUL",
        );
        return Err(Box::new(problem.at(Place::new(file, &text, at..at + 1))));
    }
    Ok(Decoded { text, has_bom })
}

/// What to say of a byte order mark; `is_sent` says whether the layout's tool sends it to the server.
pub(super) fn byte_order_mark(file: &str, text: &str, is_sent: bool) -> Problem {
    let problem = Problem::new(
        ProblemKind::Encoding,
        file,
        "expected SQL at the beginning, found a byte order mark: tools that send it to the server are told that there \
         is a syntax error",
        format!("remove it: sed -i '1s/^\\xEF\\xBB\\xBF//' {file}"),
    );
    problem.at(Place::file(file, text)).level(if is_sent { Level::Error } else { Level::Note })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> String {
        decode("1_a.sql", bytes.to_vec()).map(|decoded| decoded.text).unwrap_err().message
    }

    #[test]
    fn a_byte_order_mark_is_no_text() {
        let decoded = decode("1_a.sql", b"\xef\xbb\xbfSELECT 'caf\xc3\xa9';\r\n".to_vec()).ok().unwrap();
        assert_eq!((decoded.text.as_str(), decoded.has_bom), ("SELECT 'café';\r\n", true));
        assert!(!decode("1_a.sql", Vec::new()).ok().unwrap().has_bom);
    }

    #[test]
    fn what_is_no_text_says_what_it_is() {
        assert!(refused(b"\xff\xfeS\0").contains("UTF-16 with the low byte first"));
        assert!(refused(b"\xfe\xff\0S").contains("UTF-16 with the high byte first"));
        assert!(refused(b"S\0E\0L\0E\0").contains("many NUL bytes"));
        assert!(refused(b"SELECT\n'caf\xe9'").contains("byte 0xe9 at offset 11, in line 2"));
        assert!(refused(b"SELECT 1; SELECT '\0';").contains("NUL at offset 18"));
    }
}
