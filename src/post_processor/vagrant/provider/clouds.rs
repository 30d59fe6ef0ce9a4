//! Boxes that hold nothing: they name an image that is somewhere else.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};

use super::{Contents, provider, quoted};

/// A line for each `region:ami-…` of the artifact's id.
pub(super) fn aws(id: &str) -> anyhow::Result<Contents> {
    let mut lines = Vec::new();
    for image in id.split(',') {
        let (region, ami) =
            image.split_once(':').with_context(|| format!("`{image}` is not region:ami"))?;
        lines.push(format!("aws.region_config {}, ami: {}", quoted(region), quoted(ami)));
    }
    Ok(Contents::of("aws").with_vagrantfile(provider("aws", "", &lines)))
}

/// The image that the lines `name: value` of `description` tell of: a plugin says it nowhere else.
pub(super) fn azure(description: &str) -> anyhow::Result<Contents> {
    let facts = description.lines().filter_map(|line| line.split_once(": "));
    let facts: BTreeMap<_, _> = facts.map(|(name, value)| (name.trim(), value.trim())).collect();
    let fact = |name| facts.get(name).copied().filter(|value| !value.is_empty());
    let set =
        |option: &str, name| format!("azure.{option} = {}", quoted(fact(name).unwrap_or_default()));
    let mut lines = if fact("ManagedImageId").is_some() {
        vec![set("location", "ManagedImageLocation"), set("vm_managed_image_id", "ManagedImageId")]
    } else if fact("OSDiskUri").is_some() {
        vec![
            set("location", "StorageAccountLocation"),
            set("vm_vhd_uri", "OSDiskUri"),
            set("vm_operating_system", "OSType"),
        ]
    } else {
        bail!("No managed image nor VHD URI found in artifact: {description}");
    };
    lines.push("override.winrm.transport = :ssl".to_owned());
    lines.push("override.winrm.port = 5986".to_owned());
    Ok(Contents::of("azure").with_vagrantfile(provider("azure", ", override", &lines)))
}

/// The image in a region that the artifact's id names as `region:image`.
pub(super) fn in_region(name: &str, id: &str) -> anyhow::Result<Contents> {
    let parts = id.split_once(':').filter(|(_, image)| !image.contains(':'));
    let (region, image) = parts
        .with_context(|| format!("Poorly formatted artifact ID: {id}; it must be region:image"))?;
    let lines = [
        format!("{name}.image = {}", quoted(image)),
        format!("{name}.region = {}", quoted(region)),
    ];
    Ok(Contents::of(name).with_vagrantfile(provider(name, "", &lines)))
}

pub(super) fn docker(image: &str) -> Contents {
    let lines = [format!("docker.image = {}", quoted(image))];
    Contents::of("docker").with_vagrantfile(provider("docker", "", &lines))
}

pub(super) fn google(image: &str) -> Contents {
    let lines = [format!("google.image = {}", quoted(image))];
    Contents::of("google").with_vagrantfile(provider("google", "", &lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines between those that every Vagrantfile has, after what metadata.json says.
    fn said(contents: anyhow::Result<Contents>) -> String {
        let contents = contents.unwrap();
        assert!(contents.files.is_empty());
        let lines: Vec<_> = contents.vagrantfile.lines().map(str::trim).collect();
        let [first, lines @ .., "end", "end"] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(*first, "Vagrant.configure(\"2\") do |config|");
        format!("{}\n{}", serde_json::Value::Object(contents.metadata), lines.join("\n"))
    }

    #[test]
    fn a_box_of_amis_names_the_image_of_each_region() {
        let wanted = r#"{"provider":"aws"}
config.vm.provider :aws do |aws|
aws.region_config "eu-west-1", ami: "ami-2"
aws.region_config "us-east-1", ami: "ami-1""#;
        assert_eq!(said(aws("eu-west-1:ami-2,us-east-1:ami-1")), wanted);
        assert!(aws("").is_err());
        assert!(said(aws("a:b\"#{x}")).contains(r#"ami: "b\"\#{x}""#));
    }

    #[test]
    fn a_box_of_an_azure_image_says_which_and_where() {
        let managed = "Azure.ResourceManagement.VMImage:\n\nOSType: Linux\n\
                       ManagedImageResourceGroupName: group\nManagedImageName: web\n\
                       ManagedImageId: /subscriptions/1/images/web\nManagedImageLocation: westus2\n";
        let wanted = r#"{"provider":"azure"}
config.vm.provider :azure do |azure, override|
azure.location = "westus2"
azure.vm_managed_image_id = "/subscriptions/1/images/web"
override.winrm.transport = :ssl
override.winrm.port = 5986"#;
        assert_eq!(said(azure(managed)), wanted);
        let disk = "Azure.ResourceManagement.VMImage:\n\nOSType: Windows\n\
                    StorageAccountLocation: westus\nOSDiskUri: https://x.blob/web.vhd\n";
        let wanted = r#"{"provider":"azure"}
config.vm.provider :azure do |azure, override|
azure.location = "westus"
azure.vm_vhd_uri = "https://x.blob/web.vhd"
azure.vm_operating_system = "Windows"
override.winrm.transport = :ssl
override.winrm.port = 5986"#;
        assert_eq!(said(azure(disk)), wanted);
        let neither = azure("Azure.ResourceManagement.VMImage:\n\nOSType: Linux\n");
        assert!(neither.unwrap_err().to_string().contains("No managed image nor VHD URI"));
    }

    #[test]
    fn a_box_of_a_snapshot_names_its_region() {
        let wanted = r#"{"provider":"digital_ocean"}
config.vm.provider :digital_ocean do |digital_ocean|
digital_ocean.image = "123"
digital_ocean.region = "nyc3""#;
        assert_eq!(said(in_region("digital_ocean", "nyc3:123")), wanted);
        let scaleway = said(in_region("scaleway", "par1:ab-cd"));
        assert!(scaleway.contains("scaleway.image = \"ab-cd\"\nscaleway.region = \"par1\""));
        for odd in ["123", "a:b:c"] {
            assert!(in_region("scaleway", odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_box_of_a_named_image_names_it() {
        assert!(said(Ok(docker("acme/web:1.0"))).contains("docker.image = \"acme/web:1.0\""));
        assert!(said(Ok(google("web-1"))).contains("google.image = \"web-1\""));
    }
}
