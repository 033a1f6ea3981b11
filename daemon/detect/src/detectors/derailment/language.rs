//! Whether a text is in a language whose words can be compared with those of English sentences and of code.
//!
//! It must never guess from names or code: only words that every sentence is held together by count.
//!
//! Invariant: no state.

use crate::text::head;

/// Bytes of a text that are looked at.
const LOOKED_AT: usize = 4 * 1024;

/// Words that hold English sentences together.
const ENGLISH: &str = " the to is in of and it for on with this that be we you i can do not are was have has from by at as \
    my our your should would what why how when where please if or but they there so let's don't i'm it's ";

/// The same of German, French, Spanish, Portuguese, Italian, Dutch, Polish and Turkish, as far as English and code have
/// other uses for none of them.
const OTHERS: &str = " der das und nicht ist ein eine einen mit für auf dem den bitte wir ich kannst auch noch wenn wird \
    werden sind zum zur bei nach aus oder aber el los las que una por para con del está pero como más se le les des et \
    une est pas pour dans avec sur vous nous je qui os um uma não com ao em il lo gli che di per è anche het een niet \
    voor van zijn deze wij jest się nie na czy proszę bir ve için bu ile ";

/// Whether a text is plainly in another language than English.
#[must_use]
pub(super) fn is_foreign(text: &str) -> bool {
    let text = head(text, LOOKED_AT).to_lowercase();
    let (mut english, mut others, mut letters, mut strange) = (0_u32, 0_u32, 0_u32, 0_u32);
    for c in text.chars().filter(|c| c.is_alphabetic()) {
        letters += 1;
        // Beyond Latin: Greek, Cyrillic, Arabic, and the scripts of Asia.
        strange += u32::from(c >= '\u{370}');
    }
    for word in text.split(|c: char| !(c.is_alphabetic() || c == '\'')).filter(|word| !word.is_empty()) {
        let padded = format!(" {word} ");
        english += u32::from(ENGLISH.contains(&padded));
        others += u32::from(OTHERS.contains(&padded));
    }
    strange * 5 > letters || others >= 2 && others > english
}

#[cfg(test)]
mod tests {
    use super::is_foreign;

    #[test]
    fn languages_are_told_apart() {
        for text in [
            "Bitte behebe den Fehler im Warenkorb, die Reihenfolge stimmt nicht.",
            "Corrige el error al guardar los pedidos con descuento para que el total no quede en cero.",
            "Corrige l'erreur du panier : le total n'est pas bon pour les remises.",
            "Corrija o erro do carrinho, o total não está certo com um desconto.",
            "カートの合計が正しくありません。直してください。",
            "Исправь ошибку в корзине",
        ] {
            assert!(is_foreign(text), "{text}");
        }
        for text in [
            "Make the basket keep its order",
            "fix basket order",
            "Why does `für` break the parser? See tests/der_test.py",
            "Rename el to element in cart.ts",
            "run pnpm test --filter web",
            "",
        ] {
            assert!(!is_foreign(text), "{text}");
        }
    }
}
