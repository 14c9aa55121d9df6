//! Equations as they are written, with ellipses.

use model::Equation;

use crate::layers::Operand;

/// An equation as it is written, with ellipses.
pub(super) struct Written {
    operands: Vec<Term>,
    pub(super) output: Term,
}

/// The subscripts of an operand, and the index of the ellipsis among them.
pub(super) struct Term {
    pub(super) letters: Vec<char>,
    dots: Option<usize>,
}

/// Parses an equation for operands with so many axes, counted with the batch; `None` for an operand whose axes are only
/// those that the equation names. Replaces ellipses by subscripts.
///
/// # Errors
/// The equation is not valid or not supported; says why.
pub(super) fn parse(text: &str, axes: &[Option<usize>]) -> Result<Equation, String> {
    let unsupported = |why: &str| format!("its equation is \"{text}\", {why}");
    let written = Written::parse(text).ok_or_else(|| unsupported("expected one such as \"abc,cd->abd\""))?;
    if written.operands.len() != axes.len() {
        return Err(unsupported(&format!("expected {} operands", axes.len())));
    }
    let used: Vec<char> = written.operands.iter().flat_map(|term| term.letters.clone()).collect();
    let mut spare = ('a'..='z').chain('A'..='Z').filter(|letter| !used.contains(letter));
    let mut elided: Option<Vec<char>> = None;
    let mut operands = Vec::new();
    for (term, axes) in written.operands.iter().zip(axes) {
        let named = term.letters.len();
        match (term.dots, axes) {
            (None, Some(axes)) if *axes != named => {
                return Err(unsupported(&format!("but an operand has {axes} axes")));
            }
            (Some(_), None) => return Err(unsupported("expected no dots for its kernel")),
            (Some(_), Some(axes)) => {
                let count = axes.checked_sub(named).ok_or_else(|| unsupported("which has more axes"))?;
                let letters = elided.get_or_insert_with(|| spare.by_ref().take(count).collect());
                if letters.len() != count {
                    return Err(unsupported("whose dots stand for different numbers of axes"));
                }
            }
            (None, _) => {}
        }
        operands.push(term.with_dots_as(elided.as_deref().unwrap_or_default()));
    }
    let output = written.output.with_dots_as(elided.as_deref().unwrap_or_default());
    let equation = Equation { operands, output };
    if is_sound(&equation) { Ok(equation) } else { Err(unsupported("which is not supported")) }
}

/// Returns whether each subscript is once in a term, and each of the output in an operand.
fn is_sound(equation: &Equation) -> bool {
    let once = |term: &[char]| (1..term.len()).all(|index| !term[..index].contains(&term[index]));
    let known = |letter: &char| equation.operands.iter().any(|term| term.contains(letter));
    equation.operands.iter().chain([&equation.output]).all(|term| once(term))
        && equation.output.iter().all(known)
}

/// Returns whether the batch is the first axis of these inputs and of the output, and no axis of a constant.
pub(super) fn keeps_batch(equation: &Equation, operands: &[Operand]) -> bool {
    let Some(batch) = equation.output.first() else { return false };
    operands.iter().zip(&equation.operands).all(|(operand, term)| match operand {
        Operand::Input(_) => term.first() == Some(batch),
        Operand::Constant(_) => !term.contains(batch),
    })
}

impl Written {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
        let (operands, output) = text.split_once("->")?;
        Some(Self {
            operands: operands.split(',').map(Term::parse).collect::<Option<_>>()?,
            output: Term::parse(output)?,
        })
    }
}

impl Term {
    fn parse(text: &str) -> Option<Self> {
        let (before, after) =
            text.split_once("...").map_or((text, None), |(before, after)| (before, Some(after)));
        let letters: Vec<char> = before.chars().chain(after.unwrap_or_default().chars()).collect();
        let dots = after.map(|_| before.chars().count());
        letters.iter().all(char::is_ascii_alphabetic).then_some(Self { letters, dots })
    }

    fn with_dots_as(&self, elided: &[char]) -> Vec<char> {
        let mut letters = self.letters.clone();
        if let Some(at) = self.dots {
            letters.splice(at..at, elided.iter().copied());
        }
        letters
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn dots_become_letters_of_their_own() {
        let check = |text: &str, axes: &[Option<usize>], expected: Result<&str, &str>| {
            let found = parse(text, axes).map(|equation| equation.to_string());
            match (&found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(part)) => assert!(found.contains(part), "{found}"),
                (_, _) => panic!("{text}: {found:?}"),
            }
        };
        check("abc,cd->abd", &[Some(3), None], Ok("abc,cd->abd"));
        check(" ab , bc -> ac ", &[Some(2), Some(2)], Ok("ab,bc->ac"));
        check("...x,xy->...y", &[Some(4), None], Ok("abcx,xy->abcy"));
        check("ab...,bc->ac...", &[Some(4), None], Ok("abde,bc->acde"));
        check("...ij,...jk->...ik", &[Some(3), Some(3)], Ok("aij,ajk->aik"));
        check("...ij,...jk->...ik", &[Some(3), Some(4)], Err("different numbers of axes"));
        check("...x,...y->...", &[Some(2), None], Err("no dots for its kernel"));
        check("abc,cd->abd", &[Some(4), None], Err("an operand has 4 axes"));
        check("aab,bc->ac", &[Some(3), None], Err("not supported"));
        check("ab,bc->ad", &[Some(2), None], Err("not supported"));
        check("ab,bc", &[Some(2), None], Err("expected one such as"));
        check("a1,bc->a", &[Some(2), None], Err("expected one such as"));
        check("ab,bc,cd->ad", &[Some(2), None], Err("expected 2 operands"));
    }
}
