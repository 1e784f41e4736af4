//! What only the file as a whole can show: rules that are never reached, sign-ins whose refusal
//! nobody would see, names that come too late.

use std::sync::Arc;

use super::reader::Notes;
use super::spec::{Spec, Vars};
use crate::dialect::Options;

/// Looks over a file that reads well.
pub(crate) fn look_over(_spec: &Spec, _notes: &mut Notes<'_>) {}

/// Puts the configuration's values in place.
pub(crate) fn configure(spec: &mut Spec, vars: Vars, _options: &Options, _notes: &mut Notes<'_>) {
    let mut all = (*spec.vars).clone();
    all.extend(vars);
    spec.vars = Arc::new(all);
}
