//! `ts ASC NULLS FIRST, user_id DESC` as a list of columns. Pure.

/// One column as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) name: String,
    pub(super) descending: bool,
    /// `None`: first when ascending, last when descending.
    pub(super) nulls_first: Option<bool>,
}

/// A word, or a name in quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Comma,
}

/// The columns of `text`. Names that are no words stand in double quotes or backticks, doubled within.
///
/// # Errors
/// What is wrong, in one line.
pub(super) fn parse(text: &str) -> Result<Vec<Written>, String> {
    let tokens = tokens(text)?;
    tokens.split(|token| *token == Token::Comma).map(column).collect()
}

/// Whether `text` is this one word.
pub(super) fn is_word(text: &str, word: &str) -> bool {
    text.trim().eq_ignore_ascii_case(word)
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            ',' => tokens.push(Token::Comma),
            blank if blank.is_whitespace() => {}
            quote @ ('"' | '`') => {
                let mut name = String::new();
                loop {
                    match rest.next() {
                        Some(end) if end == quote && rest.peek() == Some(&quote) => name.extend(rest.next()),
                        Some(end) if end == quote => break,
                        Some(other) => name.push(other),
                        None => return Err(format!("the quote {quote} is not closed")),
                    }
                }
                tokens.push(Token::Quoted(name));
            }
            first => {
                let mut word = String::from(first);
                while let Some(more) = rest.next_if(|next| !next.is_whitespace() && !matches!(next, ',' | '"' | '`')) {
                    word.push(more);
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Ok(tokens)
}

fn column(tokens: &[Token]) -> Result<Written, String> {
    let (name, mut rest) = match tokens {
        [Token::Word(name) | Token::Quoted(name), rest @ ..] => (name.clone(), rest),
        _ => return Err("a column is missing".to_owned()),
    };
    let is = |token: &Token, word: &str| matches!(token, Token::Word(text) if text.eq_ignore_ascii_case(word));
    let mut written = Written { name, descending: false, nulls_first: None };
    if let [direction, after @ ..] = rest
        && (is(direction, "asc") || is(direction, "desc"))
    {
        written.descending = is(direction, "desc");
        rest = after;
    }
    if let [nulls, place, after @ ..] = rest
        && is(nulls, "nulls")
        && (is(place, "first") || is(place, "last"))
    {
        written.nulls_first = Some(is(place, "first"));
        rest = after;
    }
    match rest.first() {
        None => Ok(written),
        Some(Token::Word(text) | Token::Quoted(text)) => Err(format!(
            "'{text}' behind column '{}' is not understood: ASC or DESC, then NULLS FIRST or NULLS LAST, then a comma may follow",
            written.name
        )),
        Some(Token::Comma) => Err("a column is missing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_and_places_of_nulls_follow_names_with_or_without_quotes() {
        let column = |name: &str, descending, nulls_first| Written { name: name.to_owned(), descending, nulls_first };
        assert_eq!(
            parse("ts asc nulls last, `user id` DESC,\"a\"\"b\" NULLS FIRST ,asc").expect("parses"),
            [column("ts", false, Some(false)), column("user id", true, None), column("a\"b", false, Some(true)), column("asc", false, None)]
        );
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, part) in [
            ("", "a column is missing"),
            ("ts,", "a column is missing"),
            ("ts up", "'up' behind column 'ts'"),
            ("ts NULLS", "'NULLS' behind column 'ts'"),
            ("`ts", "not closed"),
            ("ts user_id", "'user_id' behind column 'ts'"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
