//! The functions of `fields`.

use super::interface::Interface;
use crate::ctx::WasiHttpCtxView;
use crate::fields::{FieldLimits, Fields, IsForbidden, Refusal};
use crate::types::HeaderError;
use belljar::Result;
use belljar::component::Resource;

type Values = Vec<Vec<u8>>;

/// Makes of a refusal what the guest gets, unless it ends the guest.
fn code<R>(result: Result<R, Refusal>) -> Result<Result<R, HeaderError>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Refusal::Header(error)) => Ok(Err(error)),
        Err(Refusal::TooLarge(error)) => Err(error),
    }
}

/// Changes fields in the table.
fn change(
    view: &mut WasiHttpCtxView<'_>,
    fields: &Resource<Fields>,
    change: impl FnOnce(&mut Fields, &FieldLimits, &mut IsForbidden<'_>) -> Result<(), Refusal>,
) -> Result<Result<(), HeaderError>> {
    let (fields, hooks) = (view.table.get_mut(fields)?, &mut *view.hooks);
    code(change(fields, view.ctx.fields(), &mut |name| hooks.is_forbidden_header(name)))
}

pub(super) fn add<T: 'static>(types: &mut Interface<'_, T>) -> Result<()> {
    types.resource::<Fields>("fields")?;
    types.func("[constructor]fields", |view, (): ()| {
        let fields = Fields::new(view.ctx.fields())?;
        Ok(view.table.push(fields)?)
    })?;
    types.func("[static]fields.from-list", |view, (list,): (Vec<(String, Vec<u8>)>,)| {
        let limits = view.ctx.fields();
        let mut fields = Fields::new(limits)?;
        let mut is_forbidden = |name: &http::HeaderName| view.hooks.is_forbidden_header(name);
        let mut entries = list.iter();
        let added =
            entries.try_for_each(|(name, value)| fields.append(limits, &mut is_forbidden, name, value));
        Ok(match code(added)? {
            Ok(()) => Ok(view.table.push(fields)?),
            Err(error) => Err(error),
        })
    })?;
    types.func("[method]fields.get", |view, (fields, name): (Resource<Fields>, String)| {
        let values = view.table.get(&fields)?.get(&name).map(|value| value.as_bytes().to_vec());
        Ok(values.collect::<Values>())
    })?;
    types.func("[method]fields.has", |view, (fields, name): (Resource<Fields>, String)| {
        Ok(view.table.get(&fields)?.get(&name).next().is_some())
    })?;
    types.func(
        "[method]fields.set",
        |view, (fields, name, values): (Resource<Fields>, String, Values)| {
            change(view, &fields, |fields, limits, forbidden| fields.set(limits, forbidden, &name, &values))
        },
    )?;
    types.func("[method]fields.delete", |view, (fields, name): (Resource<Fields>, String)| {
        change(view, &fields, |fields, limits, forbidden| fields.delete(limits, forbidden, &name))
    })?;
    types.func(
        "[method]fields.append",
        |view, (fields, name, value): (Resource<Fields>, String, Vec<u8>)| {
            change(view, &fields, |fields, limits, forbidden| fields.append(limits, forbidden, &name, &value))
        },
    )?;
    types.func("[method]fields.entries", |view, (fields,): (Resource<Fields>,)| {
        let fields = view.table.get(&fields)?.iter();
        let entry = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.as_str().to_owned(), value.as_bytes().to_vec())
        };
        Ok(fields.map(entry).collect::<Vec<_>>())
    })?;
    types.func("[method]fields.clone", |view, (fields,): (Resource<Fields>,)| {
        let copy = view.table.get(&fields)?.mutable_copy();
        Ok(view.table.push(copy)?)
    })
}
