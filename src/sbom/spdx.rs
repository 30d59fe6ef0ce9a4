//! SPDX 2.3.

use serde_json::{Value as Json, json};

use super::inventory::{Inventory, Package, Subject, System, number};
use super::{licence, purl};

/// The document of `inventory`. The same packages give the same document, but for its time.
pub fn document(inventory: &Inventory, about: &Subject<'_>) -> Json {
    let mut packages = vec![image(about)];
    packages.extend(inventory.system.as_ref().map(operating_system));
    let all = purl::all(inventory).into_iter().enumerate();
    packages.extend(all.map(|(index, (purl, one))| package(index, one, &purl)));
    let contained = packages.iter().skip(1).map(|package| {
        let (from, kind, to) = ("SPDXRef-Image", "CONTAINS", &package["SPDXID"]);
        json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
    });
    let describes = json!({
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": "SPDXRef-Image",
    });
    let relationships: Vec<Json> = std::iter::once(describes).chain(contained).collect();
    let id = number(&Json::from(packages.clone()));
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": about.name,
        "documentNamespace": format!("https://spdx.org/spdxdocs/imgbake-{id}"),
        "creationInfo": {
            "created": about.made_at(),
            "creators": [concat!("Tool: ", env!("CARGO_PKG_NAME"), "-", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relationships,
    })
}

/// What SPDX wants to be said of every package.
fn described(id: &str, name: &str, version: &str) -> Json {
    let mut fields = json!({
        "SPDXID": format!("SPDXRef-{id}"),
        "name": name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
    });
    if !version.is_empty() {
        fields["versionInfo"] = version.into();
    }
    fields
}

fn image(about: &Subject<'_>) -> Json {
    let mut fields = described("Image", about.name, about.id);
    let is_container = about.is_container();
    let purpose = if is_container { "CONTAINER" } else { "OPERATING_SYSTEM" };
    fields["primaryPackagePurpose"] = purpose.into();
    fields
}

fn operating_system(system: &System) -> Json {
    let mut fields = described("System", &system.id, &system.version);
    fields["primaryPackagePurpose"] = "OPERATING_SYSTEM".into();
    if !system.name.is_empty() {
        fields["description"] = system.name.as_str().into();
    }
    fields
}

fn package(index: usize, package: &Package, purl: &str) -> Json {
    let mut fields = described(&format!("Package-{index}"), &package.name, &package.version);
    fields["externalRefs"] = json!([{
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": purl,
    }]);
    if let Some(publisher) = &package.publisher {
        fields["supplier"] = format!("Organization: {publisher}").into();
    }
    let licences = &package.licences;
    let meant: Option<Vec<String>> = licences.iter().map(|one| licence::expression(one)).collect();
    match meant {
        Some(meant) if !meant.is_empty() => fields["licenseDeclared"] = all_of(&meant).into(),
        Some(_) => {}
        // SPDX takes names of its list only.
        None => {
            let said = licences.join("; ");
            fields["licenseComments"] = format!("The package says: {said}").into();
        }
    }
    fields
}

/// All of the licences at a time.
fn all_of(expressions: &[String]) -> String {
    match expressions {
        [one] => one.clone(),
        several => {
            let parts = several.iter().map(|one| match one.contains(' ') {
                true => format!("({one})"),
                false => one.clone(),
            });
            parts.collect::<Vec<_>>().join(" AND ")
        }
    }
}
