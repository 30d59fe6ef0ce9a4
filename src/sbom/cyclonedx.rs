//! CycloneDX 1.6.

use serde_json::{Map, Value as Json, json};

use super::inventory::{Ecosystem, Inventory, Package, Subject, System, number};
use super::{licence, purl};

/// The document of `inventory`. The same packages give the same document, but for its time.
pub fn document(inventory: &Inventory, about: &Subject<'_>) -> Json {
    let packages = purl::all(inventory);
    let system = inventory.system.as_ref().map(operating_system);
    let listed = packages.iter().map(|(purl, package)| component(package, purl));
    let components: Vec<Json> = system.into_iter().chain(listed).collect();
    let subject = json!({
        "type": if about.is_container() { "container" } else { "operating-system" },
        "bom-ref": "image",
        "name": about.name,
        "version": about.id,
        "properties": [{ "name": "imgbake:builder", "value": about.builder }],
    });
    let packages: Vec<_> = packages.into_iter().map(|(purl, _)| purl).collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", number(&json!([subject, components]))),
        "version": 1,
        "metadata": {
            "timestamp": about.made_at(),
            "tools": { "components": [{
                "type": "application",
                "name": env!("CARGO_PKG_NAME"),
                "version": env!("CARGO_PKG_VERSION"),
            }] },
            "component": subject,
        },
        "components": components,
        "dependencies": [{ "ref": "image", "dependsOn": packages }],
    })
}

fn operating_system(system: &System) -> Json {
    let mut fields = json!({
        "type": "operating-system",
        "bom-ref": format!("system:{}", system.id),
        "name": system.id,
    });
    for (name, text) in [("version", &system.version), ("description", &system.name)] {
        if !text.is_empty() {
            fields[name] = text.as_str().into();
        }
    }
    fields
}

fn component(package: &Package, purl: &str) -> Json {
    let kind = if package.ecosystem == Ecosystem::Windows { "application" } else { "library" };
    let mut fields = Map::new();
    let texts = [("type", kind), ("bom-ref", purl), ("name", package.name.as_str())];
    fields.extend(texts.map(|(name, text)| (name.to_owned(), text.into())));
    if !package.version.is_empty() {
        fields.insert("version".to_owned(), package.version.as_str().into());
    }
    if let Some(publisher) = &package.publisher {
        fields.insert("publisher".to_owned(), publisher.as_str().into());
    }
    if !package.licences.is_empty() {
        fields.insert("licenses".to_owned(), licences(&package.licences).into());
    }
    fields.insert("purl".to_owned(), purl.into());
    Json::Object(fields)
}

/// One expression, or several licences by their names.
fn licences(said: &[String]) -> Vec<Json> {
    let meant = |said: &String| licence::expression(said);
    if let [one] = said
        && let Some(expression) = meant(one).filter(|text| !licence::is_id(text))
    {
        return vec![json!({ "expression": expression })];
    }
    let one = |said: &String| match meant(said).filter(|text| licence::is_id(text)) {
        Some(id) => json!({ "license": { "id": id } }),
        None => json!({ "license": { "name": said } }),
    };
    said.iter().map(one).collect()
}

/// The packages of a document, as far as they can be compared with others.
///
/// # Errors
/// It is no such document.
pub fn read(text: &[u8]) -> anyhow::Result<Inventory> {
    let document: Json = serde_json::from_slice(text)?;
    anyhow::ensure!(document["bomFormat"] == "CycloneDX", "it is no CycloneDX document");
    let text = |component: &Json, name: &str| component[name].as_str().map(str::to_owned);
    let package = |component: &Json| {
        let ecosystem = Ecosystem::of_purl(component["purl"].as_str()?)?;
        let version = text(component, "version").unwrap_or_default();
        Some(Package::new(ecosystem, text(component, "name")?, version))
    };
    let components = document["components"].as_array().into_iter().flatten();
    let packages = components.filter_map(package).collect();
    Ok(Inventory { packages, ..Inventory::default() })
}
