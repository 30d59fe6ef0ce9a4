//! `--mount`: what a container sees of this host, of volumes and of memory.

use bollard::models::{
    Mount, MountBindOptions, MountTmpfsOptions, MountType, MountVolumeOptions,
    MountVolumeOptionsDriverConfig,
};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::asked::{Run, host, insert};
use super::words::{boolean, bytes};
use crate::env::Environment;

/// `type=bind,source=./src,target=/src,readonly`.
pub(super) fn mount(run: &mut Run, text: &str, environment: &Environment) -> Result<(), String> {
    let mut mount = Mount { typ: Some(MountType::VOLUME), ..Mount::default() };
    for word in text.split(',') {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (word, None),
        };
        field(&mut mount, key, value).map_err(|cause| format!("`{word}`: {cause}"))?;
    }
    if mount.target.as_deref().unwrap_or_default().is_empty() {
        return Err("it has no `target`".to_owned());
    }
    match (mount.typ, &mut mount.source) {
        (Some(MountType::BIND), None) => return Err("it has no `source`".to_owned()),
        (Some(MountType::BIND), Some(source)) if source.starts_with('.') => {
            *source = environment.cwd.join(&*source).display().to_string();
        }
        _ => {}
    }
    host(run).mounts.get_or_insert_default().push(mount);
    Ok(())
}

/// Takes one of its fields; only switches need no value.
fn field(mount: &mut Mount, key: &str, value: Option<&str>) -> Result<(), String> {
    let text = || value.ok_or("its value is missing");
    let switch = || boolean(value.unwrap_or("true"));
    match key {
        "type" => mount.typ = Some(word(text()?)?),
        "source" | "src" => mount.source = Some(text()?.to_owned()),
        "target" | "dst" | "destination" => mount.target = Some(text()?.to_owned()),
        "readonly" | "ro" => mount.read_only = Some(switch()?),
        "consistency" => mount.consistency = Some(text()?.to_owned()),
        "bind-propagation" => bind(mount).propagation = Some(word(text()?)?),
        "bind-create-src" => bind(mount).create_mountpoint = Some(switch()?),
        "volume-nocopy" => volume(mount).no_copy = Some(switch()?),
        "volume-subpath" => volume(mount).subpath = Some(text()?.to_owned()),
        "volume-driver" => driver(mount).name = Some(text()?.to_owned()),
        "volume-opt" => insert(&mut driver(mount).options, text()?)?,
        "volume-label" => insert(&mut volume(mount).labels, text()?)?,
        "tmpfs-size" => tmpfs(mount).size_bytes = Some(bytes(text()?)?),
        "tmpfs-mode" => {
            let mode = i64::from_str_radix(text()?, 8);
            tmpfs(mount).mode = Some(mode.map_err(|_| "this is no mode such as `1770`")?);
        }
        _ => return Err("this is no field of a mount that imgbake knows".to_owned()),
    }
    Ok(())
}

/// One of the words that the engine knows there.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(json!(text)).map_err(|_| "there is no such word here".to_owned())
}

fn bind(mount: &mut Mount) -> &mut MountBindOptions {
    mount.bind_options.get_or_insert_default()
}

fn volume(mount: &mut Mount) -> &mut MountVolumeOptions {
    mount.volume_options.get_or_insert_default()
}

fn driver(mount: &mut Mount) -> &mut MountVolumeOptionsDriverConfig {
    volume(mount).driver_config.get_or_insert_default()
}

fn tmpfs(mount: &mut Mount) -> &mut MountTmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}
