//! Templates and sources.

use toml::de::DeValue;

use super::super::reader::{Item, Keys, plain_json};
use super::super::spec::MAX_TEMPLATE_DEPTH;
use super::super::template::{Template, list, table};
use super::{Site, Written};

impl Written<'_> {
    /// What we send.
    pub(crate) fn template(&mut self, item: &Item<'_>, site: Site) -> Option<Template> {
        self.template_at(item, site, 0)
    }

    fn template_at(&mut self, item: &Item<'_>, site: Site, depth: usize) -> Option<Template> {
        let at = item.span().start;
        if depth > MAX_TEMPLATE_DEPTH {
            self.notes.error("limit", at, format!("a template nests at most {MAX_TEMPLATE_DEPTH} deep"), "");
            return None;
        }
        match item.get_ref() {
            DeValue::String(text) => self.worded(text, at, site, false),
            DeValue::Array(items) => items
                .iter()
                .map(|item| self.template_at(item, site, depth + 1))
                .collect::<Option<_>>()
                .map(list),
            DeValue::Table(_) => self.template_table(item, site, depth),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
                plain_json(item, &mut self.notes).map(Template::Fixed)
            }
        }
    }

    fn template_table(&mut self, item: &Item<'_>, site: Site, depth: usize) -> Option<Template> {
        let keys = Keys::of(item, "", &mut self.notes)?;
        let lone = keys.len() == 1;
        let mut parts = Vec::new();
        let mut spread = None;
        for (key, at, item) in keys.rest() {
            if key == "..." {
                let hole = match item.get_ref() {
                    DeValue::String(text) => match self.worded(text, item.span().start, site, false)? {
                        Template::Hole(hole) => Some(hole),
                        Template::Fixed(_)
                        | Template::Joined(_)
                        | Template::Table(_)
                        | Template::List(_)
                        | Template::First(_)
                        | Template::Filtered(..) => None,
                    },
                    _ => None,
                };
                let Some(hole) = hole else {
                    self.notes.error(
                        "bad_value",
                        at,
                        "`\"...\"` takes a hole",
                        "for example `\"...\" = \"$data\"`",
                    );
                    return None;
                };
                spread = Some((parts.len(), hole));
                continue;
            }
            if let Some(filter) = key.strip_prefix('$').filter(|rest| lone && !rest.starts_with('$')) {
                let inner = self.template_at(item, site, depth + 1)?;
                return Some(Template::Filtered(Box::new(inner), self.filter(filter, at, site)?));
            }
            let name = if key.starts_with("$$") { &key[1..] } else { key };
            parts.push((name.to_owned(), self.template_at(item, site, depth + 1)?));
        }
        Some(table(parts, spread))
    }

    /// What we take.
    pub(crate) fn source(&mut self, item: &Item<'_>, site: Site) -> Option<Template> {
        self.source_at(item, site, 0)
    }

    fn source_at(&mut self, item: &Item<'_>, site: Site, depth: usize) -> Option<Template> {
        let at = item.span().start;
        if depth > MAX_TEMPLATE_DEPTH {
            self.notes.error("limit", at, format!("a source nests at most {MAX_TEMPLATE_DEPTH} deep"), "");
            return None;
        }
        match item.get_ref() {
            DeValue::String(text) if text.is_empty() || text.starts_with('/') => {
                self.taken(text, at, site).map(Template::Hole)
            }
            DeValue::String(text) => self.worded(text, at, site, true),
            DeValue::Array(items) => {
                let choices =
                    items.iter().map(|item| self.source_at(item, site, depth + 1)).collect::<Option<_>>();
                choices.map(Template::First)
            }
            DeValue::Table(members) => {
                let parts = Keys::new(members, at)
                    .rest()
                    .map(|(key, _, item)| Some((key.to_owned(), self.source_at(item, site, depth + 1)?)))
                    .collect::<Option<Vec<_>>>();
                parts.map(|parts| table(parts, None))
            }
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
                plain_json(item, &mut self.notes).map(Template::Fixed)
            }
        }
    }
}
