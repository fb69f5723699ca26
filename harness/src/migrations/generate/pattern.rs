//! Texts that a pattern matches.

/// How deep groups may be nested.
const DEPTH_MAX: usize = 16;

/// How often something is repeated where a pattern has no end.
const REPEATS_MAX: u64 = 6;

/// The longest text that is made.
const LENGTH_MAX: usize = 1_000;

/// Texts for a pattern of LIKE; nothing if it is not one.
pub(super) fn of_like(pattern: &str, count: u64) -> Option<Vec<String>> {
    if !pattern.contains(['%', '_']) {
        return None;
    }
    let sample = |number: u64| {
        let mut text = String::new();
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            match character {
                '%' => text.push_str(&number.to_string()),
                '_' => text.push(digit(number)),
                '\\' => text.extend(characters.next()),
                other => text.push(other),
            }
        }
        text
    };
    Some((0..count).map(sample).collect())
}

fn digit(number: u64) -> char {
    u32::try_from(number % 10).ok().and_then(|number| char::from_digit(number, 10)).unwrap_or('0')
}

/// Texts for a regular expression, as far as it is a common one; nothing if it has no sign of being one.
pub(super) fn of_regex(pattern: &str, count: u64) -> Option<Vec<String>> {
    if !pattern.contains(['^', '$', '[', '\\', '(', '+', '*', '.']) {
        return None;
    }
    let mut samples: Vec<String> = Vec::new();
    for number in 0..count {
        let mut sampler =
            Sampler { rest: pattern.chars().collect(), at: 0, random: Random(number.wrapping_mul(2) + 1) };
        let text = sampler.alternatives(0)?;
        if sampler.at < sampler.rest.len() {
            return None;
        }
        samples.push(text);
    }
    Some(samples)
}

/// xorshift64*: enough for variety.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound.max(1)
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> Option<T> {
        let length = u64::try_from(list.len()).ok()?;
        list.get(usize::try_from(self.below(length)).ok()?).copied()
    }
}

/// Reads a pattern and makes a text of it on the way.
struct Sampler {
    rest: Vec<char>,
    at: usize,
    random: Random,
}

impl Sampler {
    fn peek(&self) -> Option<char> {
        self.rest.get(self.at).copied()
    }

    fn take(&mut self, expected: char) -> bool {
        let is_there = self.peek() == Some(expected);
        self.at += usize::from(is_there);
        is_there
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek();
        self.at += usize::from(next.is_some());
        next
    }

    fn alternatives(&mut self, depth: usize) -> Option<String> {
        if depth > DEPTH_MAX {
            return None;
        }
        let mut texts = vec![self.sequence(depth)?];
        while self.take('|') {
            texts.push(self.sequence(depth)?);
        }
        let index = self.random.below(u64::try_from(texts.len()).ok()?);
        texts.into_iter().nth(usize::try_from(index).ok()?)
    }

    fn sequence(&mut self, depth: usize) -> Option<String> {
        let mut text = String::new();
        while self.peek().is_some_and(|next| next != '|' && next != ')') {
            let from = self.at;
            let part = self.atom(depth)?;
            let to = self.at;
            let (least, most) = self.repeats()?;
            let after = self.at;
            let times = least + self.random.below(most - least + 1);
            if times > 0 {
                text.push_str(&part);
            }
            for _ in 1..times {
                // Once more from the pattern, so that a repeated class is not a repeated letter.
                self.at = from;
                text.push_str(&self.atom(depth)?);
                self.at = to;
                if text.len() > LENGTH_MAX {
                    return None;
                }
            }
            self.at = after;
        }
        Some(text)
    }

    fn repeats(&mut self) -> Option<(u64, u64)> {
        let found = match self.peek() {
            Some('*') => (0, REPEATS_MAX),
            Some('+') => (1, REPEATS_MAX),
            Some('?') => (0, 1),
            Some('{') => {
                let end = self.rest.iter().skip(self.at).position(|next| *next == '}')? + self.at;
                let inner: String = self.rest.get(self.at + 1..end)?.iter().collect();
                self.at = end;
                let (least, most) = inner.split_once(',').unwrap_or((&inner, &inner));
                let least: u64 = least.parse().ok()?;
                let most = if most.is_empty() { least + REPEATS_MAX } else { most.parse().ok()? };
                (least, most.min(least + REPEATS_MAX).max(least))
            }
            _ => return Some((1, 1)),
        };
        self.at += 1;
        self.take('?');
        Some(found)
    }

    fn atom(&mut self, depth: usize) -> Option<String> {
        match self.next()? {
            '^' | '$' => Some(String::new()),
            '.' => self.random.pick(&['a', 'b', 'c', '1', '2']).map(String::from),
            '(' => {
                if self.take('?') {
                    // What looks ahead or back is not made.
                    if !self.take(':') {
                        return None;
                    }
                }
                let text = self.alternatives(depth + 1)?;
                self.take(')').then_some(text)
            }
            '[' => self.class().map(String::from),
            '\\' => {
                let escaped = self.next()?;
                match class_of(escaped) {
                    Some(members) => self.random.pick(&members).map(String::from),
                    None if "AZmMyYbB".contains(escaped) => Some(String::new()),
                    None => Some(escaped.to_string()),
                }
            }
            '*' | '+' | '?' | '{' => None,
            other => Some(other.to_string()),
        }
    }

    fn class(&mut self) -> Option<char> {
        let is_negated = self.take('^');
        let mut members: Vec<char> = Vec::new();
        let mut is_first = true;
        loop {
            let next = self.next()?;
            match next {
                ']' if !is_first => break,
                '[' if self.peek() == Some(':') => {
                    let end = self.rest.iter().skip(self.at).position(|next| *next == ']')? + self.at;
                    let name: String = self.rest.get(self.at + 1..end - 1)?.iter().collect();
                    members.extend(match name.as_str() {
                        "digit" => class_of('d')?,
                        "alpha" | "lower" => ('a'..='z').collect(),
                        "upper" => ('A'..='Z').collect(),
                        "alnum" => class_of('w')?,
                        "xdigit" => "0123456789abcdef".chars().collect(),
                        "space" => vec![' '],
                        _ => return None,
                    });
                    self.at = end + 1;
                }
                '\\' => {
                    let escaped = self.next()?;
                    members.extend(class_of(escaped).unwrap_or_else(|| vec![escaped]));
                }
                low => {
                    let is_range = self.peek() == Some('-') && self.rest.get(self.at + 1) != Some(&']');
                    if is_range {
                        self.at += 1;
                        let high = self.next()?;
                        members.extend((low..=high).take(128));
                    } else {
                        members.push(low);
                    }
                }
            }
            is_first = false;
        }
        if is_negated {
            members = ('a'..='z').chain('0'..='9').filter(|other| !members.contains(other)).collect();
        }
        self.random.pick(&members)
    }
}

fn class_of(escaped: char) -> Option<Vec<char>> {
    Some(match escaped {
        'd' => ('0'..='9').collect(),
        'w' => ('a'..='z').chain('0'..='9').collect(),
        's' => vec![' '],
        'D' | 'S' => ('a'..='z').collect(),
        'W' => vec!['-'],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_match_their_pattern() {
        let all = |pattern: &str, is_right: fn(&str) -> bool| {
            let samples = of_regex(pattern, 50).unwrap();
            assert!(samples.iter().all(|sample| is_right(sample)), "{pattern}: {samples:?}");
        };
        all("^[a-f]{3}-(x|y)+$", |text| text.len() >= 5 && text.as_bytes()[3] == b'-');
        all(r"^\d{4}\.[^0-9]$", |text| text.len() == 6 && text.ends_with(|last: char| !last.is_ascii_digit()));
        all("^[[:upper:]]{2}$", |text| text.chars().all(|letter| letter.is_ascii_uppercase()));
        assert_eq!(of_regex("^(?=a)b", 1), None);
        assert_eq!(of_regex("^((((((((((((((((((((a))))))))))))))))))))$", 1), None);
        assert_eq!(of_regex("plain", 1), None);
        assert_eq!(of_like("a%b_", 1).unwrap(), ["a0b0"]);
    }
}
