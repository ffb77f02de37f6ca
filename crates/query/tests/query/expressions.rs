//! What is an expression of PromQL and what is none: a corpus with verdicts, and the places that
//! messages name. The crate `it` asks a real Prometheus for the same verdicts.

mod corpus;

use std::collections::BTreeSet;

use corpus::{Verdict, corpus};
use query::promql::parser;

#[test]
fn every_expression_is_taken_or_refused_as_it_should() {
    let mut wrong = Vec::new();
    let corpus = corpus();
    for case in &corpus {
        let text = &case.expression;
        let place = match parser::parse(text) {
            Ok(_) => None,
            Err(error) => Some(error.place),
        };
        let wanted = match case.verdict {
            Verdict::Accepted | Verdict::Younger => None,
            Verdict::Refused(place) | Verdict::Older(place) => Some(place),
        };
        if place != wanted {
            wrong.push(format!("{text}: {place:?}, not {wanted:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Nothing stands there twice, and enough of each kind does.
#[test]
fn the_corpus_is_large() {
    let corpus = corpus();
    let expressions: BTreeSet<&str> = corpus.iter().map(|case| case.expression.as_str()).collect();
    assert_eq!(expressions.len(), corpus.len());
    let count = |wanted: fn(&Verdict) -> bool| {
        let verdicts = corpus.iter().map(|case| &case.verdict);
        verdicts.filter(|verdict| wanted(verdict)).count()
    };
    assert!(count(|verdict| matches!(verdict, Verdict::Accepted)) > 350);
    assert!(count(|verdict| matches!(verdict, Verdict::Refused(_))) > 350);
    assert!(count(|verdict| matches!(verdict, Verdict::Younger)) > 80);
}
