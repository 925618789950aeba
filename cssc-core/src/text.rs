//! Text from elsewhere that is shown to people.

/// Whether a character leaves a terminal, and the order of the characters around it, alone.
pub fn is_plain(character: char) -> bool {
    let is_bidirectional = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    !(character.is_control() || is_bidirectional)
}
