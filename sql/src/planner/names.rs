//! Names for columns of a SELECT that the user does not name, where DataFusion's would be refused, because another column has it, or be no
//! name: Flink's are taken.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, Select, SelectItem, VisitMut, VisitorMut};

/// Names such columns: the second `id` is `id0`, an expression is `EXPR$2` if it is the third of its SELECT. A function keeps its name.
pub(super) fn name_columns(query: &mut Query) {
    // The visitor never breaks off.
    let _never = query.visit(&mut ColumnNames);
}

struct ColumnNames;

impl VisitorMut for ColumnNames {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let all = select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_)));
        let mut seen: Vec<String> = Vec::new();
        for (index, item) in select.projection.iter_mut().enumerate() {
            let SelectItem::UnnamedExpr(expression) = item else { continue };
            let inner = without_casts(expression);
            let text = inner.to_string();
            let before = seen.iter().filter(|other| **other == text).count();
            let in_all = all && column(inner).is_some();
            seen.push(text);
            let taken = before > 0 || in_all;
            let name = match expression {
                Expr::Function(_) | Expr::CompoundFieldAccess { .. } if !taken => continue,
                _ => match column(expression) {
                    Some(_) if !taken => continue,
                    Some(name) => format!("{name}{}", before.saturating_sub(usize::from(!in_all))),
                    None => format!("EXPR${index}"),
                },
            };
            *item = SelectItem::ExprWithAlias { expr: expression.clone(), alias: Ident::with_quote('`', name) };
        }
        ControlFlow::Continue(())
    }
}

/// DataFusion calls a cast as what is cast.
fn without_casts(expression: &Expr) -> &Expr {
    match expression {
        Expr::Cast { expr, .. } | Expr::Nested(expr) => without_casts(expr),
        other => other,
    }
}

fn column(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Identifier(ident) => Some(&ident.value),
        Expr::CompoundIdentifier(idents) => idents.last().map(|ident| ident.value.as_str()),
        _ => None,
    }
}
