//! What `qemuargs` mean for the machine that tests an image: it starts from the image, without the
//! installer, and what a row would have written beside the image goes to a directory of the test.

use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};

/// Switches that an installer is booted with: the installed machine is started without.
const INSTALLERS: [&str; 7] = ["-cdrom", "-kernel", "-initrd", "-append", "-boot", "-fda", "-fdb"];

/// Switches that attach a disk by its file.
const DISKS: [&str; 5] = ["-drive", "-hda", "-hdb", "-hdc", "-hdd"];

/// An image that is tested.
#[derive(Clone, Debug)]
pub(super) struct UnderTest {
    /// The output directory of its build.
    pub output: PathBuf,
    /// The directory of the test, where its overlays have the names of the disks.
    pub directory: PathBuf,
    /// The overlays, the main one first.
    pub disks: Vec<PathBuf>,
    /// Whether an installer has made it.
    pub was_installed: bool,
}

impl UnderTest {
    /// The rows that are left, and what they are then.
    ///
    /// # Errors
    /// If the machine that they say is not started from the image.
    pub fn rows(&self, rows: Vec<Vec<String>>) -> anyhow::Result<Vec<Vec<String>>> {
        let mut split: Vec<(String, String)> = rows
            .into_iter()
            .filter_map(|row| {
                let (switch, value) = row.split_first()?;
                Some((switch.clone(), self.redirected(&value.concat())))
            })
            .collect();
        if self.was_installed {
            without_installer(&mut split);
        }
        for (switch, value) in &mut split {
            match switch.as_str() {
                "-drive" if self.names_a_disk(value) => *value = in_form_of_overlays(value),
                "-blockdev" if self.names_a_disk(value) => bail!(
                    "`-blockdev` in `qemuargs` names a disk of the image, and `boot-test` must not write to \
                     it: attach it with `-drive`"
                ),
                _ => {}
            }
        }
        if split.iter().any(|(switch, _)| switch == "-drive") {
            let is_main = |(_, value): &(String, String)| self.names_main_disk(value);
            ensure!(
                split.iter().any(is_main),
                "`-drive` in `qemuargs` replaces all disks, and no row names that of the image, so \
                 `boot-test` would start another machine: name it, as {{{{ .OutputDir }}}}/{{{{ .Name }}}}"
            );
        }
        if split.iter().any(|(switch, _)| DISKS.contains(&switch.as_str())) {
            // Whatever else is attached is no more than looked at.
            split.push(("-snapshot".to_owned(), String::new()));
        }
        Ok(split.into_iter().map(|(switch, value)| vec![switch, value]).collect())
    }

    /// `value` with the directory of the test instead of that of the image.
    fn redirected(&self, value: &str) -> String {
        let to = self.directory.display().to_string();
        let mut forms = vec![self.output.clone()];
        forms.extend(self.output.strip_prefix(".").map(Path::to_owned));
        forms.extend(std::path::absolute(&self.output));
        let forms = forms.iter().map(|form| form.display().to_string());
        let mut value = value.to_owned();
        // The longest first: one may begin with another.
        let mut forms: Vec<_> = forms.filter(|form| !form.is_empty()).collect();
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        for form in forms {
            value = replace_directory(&value, &form, &to);
        }
        value
    }

    fn names_a_disk(&self, value: &str) -> bool {
        self.disks.iter().any(|disk| names(value, disk))
    }

    fn names_main_disk(&self, value: &str) -> bool {
        self.disks.first().is_some_and(|disk| names(value, disk))
    }
}

/// Whether `value` names the file `path`.
fn names(value: &str, path: &Path) -> bool {
    let path = path.display().to_string();
    value.split(',').any(|word| word.rsplit('=').next() == Some(&path))
}

/// Takes the installer out of `rows`: its media, and the devices that they are in.
fn without_installer(rows: &mut Vec<(String, String)>) {
    let is_installer = |(switch, value): &(String, String)| {
        let is_medium = switch == "-drive" && value.split(',').any(|word| word == "media=cdrom");
        is_medium || INSTALLERS.contains(&switch.as_str())
    };
    let gone = rows.iter().filter(|row| is_installer(row));
    let ids =
        gone.flat_map(|(_, value)| value.split(',')).filter_map(|word| word.strip_prefix("id="));
    let ids: Vec<_> = ids.map(|id| format!("drive={id}")).collect();
    let is_of_one = |(switch, value): &(String, String)| {
        switch == "-device" && value.split(',').any(|word| ids.iter().any(|id| id == word))
    };
    rows.retain(|row| !is_installer(row) && !is_of_one(row));
}

/// A `-drive` whose file is an overlay: it has the form of one.
fn in_form_of_overlays(value: &str) -> String {
    let words = value.split(',').map(|word| match word.starts_with("format=") {
        true => "format=qcow2",
        false => word,
    });
    words.collect::<Vec<_>>().join(",")
}

/// `value` with the directory `to` instead of `from`, where a path in it begins with that.
fn replace_directory(value: &str, from: &str, to: &str) -> String {
    let mut replaced = String::new();
    let mut rest = value;
    while let Some(at) = rest.find(from) {
        let (before, found) = rest.split_at(at);
        let after = &found[from.len()..];
        let begins = before.is_empty() && replaced.is_empty() || before.ends_with(['=', ':', ',']);
        let is_whole = begins && after.starts_with('/');
        replaced.push_str(before);
        replaced.push_str(if is_whole { to } else { from });
        rest = after;
    }
    replaced + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn under_test(was_installed: bool) -> UnderTest {
        UnderTest {
            output: "./output-web".into(),
            directory: "/scratch/test".into(),
            disks: vec!["/scratch/test/web".into(), "/scratch/test/web-1".into()],
            was_installed,
        }
    }

    fn rows(was_installed: bool, rows: &[&[&str]]) -> anyhow::Result<Vec<String>> {
        let rows = rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect();
        let left = under_test(was_installed).rows(rows)?;
        Ok(left.into_iter().map(|row| row.join(" ").trim().to_owned()).collect())
    }

    #[test]
    fn a_drive_that_names_a_disk_of_the_image_has_its_overlay() {
        let here = std::env::current_dir().unwrap();
        let absolute = format!("file={}/output-web/web,if=ide", here.display());
        for (given, expected) in [
            (
                "file=output-web/web,if=virtio,format=raw",
                "file=/scratch/test/web,if=virtio,format=qcow2",
            ),
            ("file=./output-web/web,if=virtio", "file=/scratch/test/web,if=virtio"),
            ("file=/scratch/test/web,if=virtio", "file=/scratch/test/web,if=virtio"),
            (&absolute, "file=/scratch/test/web,if=ide"),
        ] {
            let left = rows(false, &[&["-drive", given]]).unwrap();
            assert_eq!(left, [&format!("-drive {expected}"), "-snapshot"], "{given}");
        }
        let other = [&["-drive", "file=output-web/web"][..], &["-drive", "file=my-output-web/x"]];
        assert!(rows(false, &other).unwrap().contains(&"-drive file=my-output-web/x".to_owned()));
    }

    #[test]
    fn what_is_written_beside_the_image_is_written_elsewhere() {
        let left = rows(false, &[&["-serial", "file:output-web/console.log"]]).unwrap();
        assert_eq!(left, ["-serial file:/scratch/test/console.log"]);
    }

    #[test]
    fn a_machine_that_is_not_the_image_is_refused() {
        let seed: &[&str] = &["-drive", "file=seed.iso,media=cdrom"];
        let error = rows(false, &[seed]).unwrap_err().to_string();
        assert!(error.contains("name it, as {{ .OutputDir }}/{{ .Name }}"), "{error}");
        let node = "driver=file,filename=output-web/web,node-name=d";
        let error = rows(false, &[&["-blockdev", node]]).unwrap_err().to_string();
        assert!(error.contains("attach it with `-drive`"), "{error}");
    }

    #[test]
    fn an_installed_machine_starts_without_its_installer() {
        let all: &[&[&str]] = &[
            &["-cdrom", "installer.iso"],
            &["-kernel", "vmlinuz"],
            &["-append", "auto=true"],
            &["-boot", "d"],
            &["-drive", "file=installer.iso,if=none,id=cd0,media=cdrom"],
            &["-device", "ide-cd,drive=cd0,bootindex=0"],
            &["-device", "virtio-rng-pci"],
            &["-drive", "file=output-web/web,if=virtio"],
        ];
        let left = rows(true, all).unwrap();
        let expected =
            ["-device virtio-rng-pci", "-drive file=/scratch/test/web,if=virtio", "-snapshot"];
        assert_eq!(left, expected);
        // A machine that was never installed may need them to start at all.
        let left = rows(false, all).unwrap();
        assert_eq!(left.len(), all.len() + 1);
        assert_eq!(rows(true, &all[..4]).unwrap(), [""; 0]);
    }
}
