//! `device Name { ... }`

use super::{DEVICE_KEYS, Reader};
use crate::declared::{Declared, Device};
use crate::hooks;
use mlp_syntax::ast::{Declaration, Expr};
use mlp_syntax::units::Dimension;
use mlp_syntax::{Code, Diagnostic};

pub(super) fn check(reader: &mut Reader<'_, '_>, node: &Declaration, declared: Declared) -> Device {
    let mut device = Device { declared, memory: None, cores: None, backends: Vec::new(), downlink: None, storage: None };
    let entries = reader.only_entries(&node.members);
    for (key, entry) in reader.entries(entries.into_iter(), DEVICE_KEYS) {
        match key {
            "memory" => device.memory = reader.positive(&entry.value, Some(Dimension::Bytes)),
            "storage" => device.storage = reader.positive(&entry.value, Some(Dimension::Bytes)),
            "cores" => device.cores = reader.whole(&entry.value),
            "backends" => {
                let file = reader.file;
                device.backends = hooks::backends(reader.checker, file, "backends", &entry.value);
            }
            _ => device.downlink = downlink(reader, &entry.value),
        }
    }
    device
}

/// Bytes a second.
fn downlink(reader: &mut Reader<'_, '_>, value: &Expr) -> Option<f64> {
    let (bytes, window) = reader.windowed(value)?;
    let bytes = reader.positive(bytes, Some(Dimension::Bytes))?;
    match window {
        Some(seconds) => Some(bytes / seconds),
        None => {
            let place = reader.place(value.span);
            let text = format!("{} over 1s", reader.checker.text(place));
            let diagnostic = Diagnostic::new(Code::E0210, "`downlink` is a size over a time").label(place, "in which time?");
            reader.report(diagnostic.help(format!("write `{text}`")).fix(place, text));
            None
        }
    }
}
