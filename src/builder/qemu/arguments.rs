//! The command line of QEMU: what the options ask for, and what `qemuargs` make of it.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use crate::builder::qemu::options::{Accelerator, Disks, Hardware, Interface, Network};

/// Everything that the command line is made of.
#[derive(Debug)]
pub(super) struct Given<'a> {
    pub hardware: &'a Hardware,
    pub disks: &'a Disks,
    pub network: &'a Network,
    /// The machine's name.
    pub name: &'a str,
    pub accelerator: Accelerator,
    /// The disks, the main one first.
    pub disk_paths: &'a [PathBuf],
    pub cd: Option<&'a Path>,
    /// Code and variables of the UEFI.
    pub efi: Option<(&'a Path, &'a Path)>,
    /// Port of this host → port of the guest.
    pub forward: Option<(u16, u16)>,
    /// The display to show, e.g. `none`; `None` leaves it to QEMU.
    pub display: Option<&'a str>,
    /// The control socket for others.
    pub monitor: Option<&'a Path>,
}

/// Switches and the values that each is given, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments(IndexMap<String, Vec<String>>);

impl Arguments {
    /// What the options ask for.
    pub fn of(given: &Given<'_>) -> Self {
        let mut arguments = Self::default();
        arguments.machine(given);
        arguments.network(given);
        arguments.drives(given);
        arguments
    }

    fn machine(&mut self, given: &Given<'_>) {
        let hardware = given.hardware;
        self.add("-name", given.name);
        self.add("-machine", format!("type={}", hardware.machine_type));
        match given.accelerator {
            Accelerator::None => {}
            // A thread for each CPU, which QEMU does not do by itself for every guest.
            Accelerator::Tcg => self.add("-accel", "tcg,thread=multi"),
            other => self.add("-accel", other.name()),
        }
        self.add("-m", format!("{}M", hardware.memory));
        self.add("-smp", smp(hardware));
        if !hardware.cpu_model.is_empty() {
            self.add("-cpu", &*hardware.cpu_model);
        }
        if !hardware.vga.is_empty() {
            self.add("-vga", &*hardware.vga);
        }
        if let Some(display) = given.display {
            self.add("-display", display);
        }
        if given.efi.is_none() {
            self.add("-boot", "c");
        }
        if let Some(firmware) = hardware.firmware.as_deref().filter(|_| !hardware.use_pflash) {
            self.add("-bios", firmware.to_string_lossy());
        }
        if let Some(path) = given.monitor {
            self.add("-qmp", format!("unix:{},server=on,wait=off", escaped(path)));
        }
    }

    fn network(&mut self, given: &Given<'_>) {
        let forward = given.forward.map_or_else(String::new, |(host, guest)| {
            format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}")
        });
        self.add("-netdev", format!("user,id=user.0{forward}"));
        self.add("-device", net_device(given.network));
    }

    fn drives(&mut self, given: &Given<'_>) {
        let disks = given.disks;
        match disks.disk_interface {
            Interface::VirtioScsi => self.add("-device", "virtio-scsi-pci,id=scsi0"),
            Interface::Sata => self.add("-device", "ich9-ahci,id=ahci0"),
            _ if given.cd.is_some() && disks.cdrom_interface == "virtio-scsi" => {
                self.add("-device", "virtio-scsi-pci,id=scsi0");
            }
            _ => {}
        }
        if let Some(path) = given.hardware.firmware.as_deref().filter(|_| given.hardware.use_pflash)
        {
            let file = escaped(path);
            self.add("-drive", format!("if=pflash,format=raw,readonly=on,file={file}"));
        }
        if let Some((code, vars)) = given.efi {
            let (code, vars) = (escaped(code), escaped(vars));
            self.add("-drive", format!("if=pflash,format=raw,unit=0,readonly=on,file={code}"));
            self.add("-drive", format!("if=pflash,format=raw,unit=1,file={vars}"));
        }
        for (index, path) in given.disk_paths.iter().enumerate() {
            self.disk(disks, index, path);
        }
        if let Some(path) = given.cd {
            self.cd(&disks.cdrom_interface, path);
        }
    }

    fn disk(&mut self, disks: &Disks, index: usize, path: &Path) {
        let attached = match disks.disk_interface {
            Interface::VirtioScsi => {
                self.add("-device", format!("scsi-hd,bus=scsi0.0,drive=drive{index}"));
                format!("none,id=drive{index}")
            }
            Interface::Sata => {
                self.add("-device", format!("ide-hd,bus=ahci0.{index},drive=drive{index}"));
                format!("none,id=drive{index}")
            }
            plain => plain.name().to_owned(),
        };
        let zeroes = match disks.disk_detect_zeroes.as_str() {
            "off" => String::new(),
            other => format!(",detect-zeroes={other}"),
        };
        self.add(
            "-drive",
            format!(
                "file={},if={attached},cache={},discard={},format={}{zeroes}",
                escaped(path),
                disks.disk_cache.name(),
                disks.disk_discard,
                disks.format.name(),
            ),
        );
    }

    fn cd(&mut self, interface: &str, path: &Path) {
        let file = escaped(path);
        match interface {
            "" => self.add("-drive", format!("file={file},format=raw,media=cdrom")),
            "virtio-scsi" => {
                self.add("-device", "scsi-cd,bus=scsi0.0,drive=cdrom0");
                self.add("-drive", format!("file={file},format=raw,if=none,id=cdrom0,media=cdrom"));
            }
            other => self.add("-drive", format!("file={file},format=raw,if={other},media=cdrom")),
        }
    }

    fn add(&mut self, switch: &str, value: impl Into<String>) {
        self.0.entry(switch.to_owned()).or_default().push(value.into());
    }

    /// Lets `rows` replace the values of their switches. The network card stays, unless the rows
    /// have it.
    pub fn override_with(&mut self, rows: &[Vec<String>], network: &Network) {
        let mut given = IndexMap::<String, Vec<String>>::new();
        for row in rows {
            if let Some((switch, value)) = row.split_first() {
                given.entry(switch.clone()).or_default().push(value.concat());
            }
        }
        // QEMU refuses `-accel` beside another way to choose it.
        let chooses = |values: &Vec<String>| values.iter().any(|value| value.contains("accel="));
        if given.contains_key("-enable-kvm")
            || ["-machine", "-M"].iter().any(|switch| given.get(*switch).is_some_and(chooses))
        {
            self.0.shift_remove("-accel");
        }
        if let Some(devices) = given.get_mut("-device")
            && !devices.iter().any(|device| device.contains(&network.net_device))
        {
            devices.push(net_device(network));
        }
        self.0.extend(given);
    }

    /// Whether `switch` is given.
    pub fn has(&self, switch: &str) -> bool {
        self.0.contains_key(switch)
    }

    /// As QEMU is given them; an empty value stands for none.
    pub fn into_words(self) -> Vec<String> {
        let mut words = Vec::new();
        for (switch, values) in self.0 {
            for value in values {
                words.push(switch.clone());
                words.extend((!value.is_empty()).then_some(value));
            }
        }
        words
    }
}

fn net_device(network: &Network) -> String {
    format!("{},netdev=user.0", network.net_device)
}

/// In the value of a QEMU option, a comma is written twice. What stands before a colon would be a
/// protocol there.
fn escaped(path: &Path) -> String {
    let text = path.to_string_lossy().replace(',', ",,");
    match path.is_relative() && text.contains(':') {
        true => format!("./{text}"),
        false => text,
    }
}

fn smp(hardware: &Hardware) -> String {
    let terms =
        [("sockets", hardware.sockets), ("cores", hardware.cores), ("threads", hardware.threads)];
    let given: Vec<_> = terms.into_iter().filter(|(_, count)| *count > 0).collect();
    let product = given.iter().fold(1_u32, |product, (_, count)| product.saturating_mul(*count));
    // More CPUs than there are places for is more than QEMU takes.
    let cpus = match hardware.cpus {
        0 => product,
        cpus if given.len() == terms.len() => cpus.min(product),
        cpus => cpus,
    };
    let terms = given.iter().map(|(name, count)| format!(",{name}={count}"));
    std::iter::once(cpus.to_string()).chain(terms).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Machine {
        hardware: Hardware,
        disks: Disks,
        network: Network,
        paths: Vec<PathBuf>,
    }

    impl Machine {
        fn new() -> Self {
            Self {
                hardware: Hardware::default(),
                disks: Disks::default(),
                network: Network::default(),
                paths: vec!["out/a,b.qcow2".into()],
            }
        }

        fn given(&self) -> Given<'_> {
            Given {
                hardware: &self.hardware,
                disks: &self.disks,
                network: &self.network,
                name: "web",
                accelerator: Accelerator::Tcg,
                disk_paths: &self.paths,
                cd: Some(Path::new("/tmp/cd.iso")),
                efi: None,
                forward: Some((2222, 22)),
                display: Some("none"),
                monitor: None,
            }
        }
    }

    #[test]
    fn the_usual_machine() {
        let machine = Machine::new();
        let words = Arguments::of(&machine.given()).into_words().join(" ");
        assert_eq!(
            words,
            "-name web -machine type=pc -accel tcg,thread=multi -m 512M -smp 1 -display none \
             -boot c -netdev user,id=user.0,hostfwd=tcp:127.0.0.1:2222-:22 \
             -device virtio-net,netdev=user.0 \
             -drive file=out/a,,b.qcow2,if=virtio,cache=unsafe,discard=ignore,format=qcow2 \
             -drive file=/tmp/cd.iso,format=raw,media=cdrom"
        );
    }

    #[test]
    fn a_switch_of_the_user_replaces_all_of_its_values_and_the_network_card_stays() {
        let machine = Machine::new();
        let mut arguments = Arguments::of(&machine.given());
        let rows = [
            vec!["-drive", "file=x", ",if=ide"],
            vec!["-drive", "file=y"],
            vec!["-device", "virtio-rng-pci"],
            vec!["-machine", "q35,accel=kvm"],
            vec!["-snapshot", ""],
        ]
        .map(|row| row.into_iter().map(str::to_owned).collect());
        arguments.override_with(&rows, &machine.network);
        let words = arguments.into_words().join(" ");
        assert!(words.contains("-drive file=x,if=ide -drive file=y"), "{words}");
        assert!(
            words.contains("-device virtio-rng-pci -device virtio-net,netdev=user.0"),
            "{words}"
        );
        assert!(words.contains("-machine q35,accel=kvm") && !words.contains("-accel"), "{words}");
        assert!(words.ends_with("-snapshot"), "{words}");
    }

    #[test]
    fn cpus_follow_from_their_terms() {
        let smp = |cpus, sockets, cores, threads| {
            super::smp(&Hardware { cpus, sockets, cores, threads, ..Hardware::default() })
        };
        assert_eq!(smp(0, 0, 0, 0), "1");
        assert_eq!(smp(4, 0, 0, 0), "4");
        assert_eq!(smp(0, 2, 2, 0), "4,sockets=2,cores=2");
        assert_eq!(smp(9, 1, 2, 2), "4,sockets=1,cores=2,threads=2");
    }

    #[test]
    fn disks_on_a_controller_are_devices() {
        let mut machine = Machine::new();
        machine.disks.disk_interface = Interface::VirtioScsi;
        machine.disks.cdrom_interface = "virtio-scsi".into();
        let words = Arguments::of(&machine.given()).into_words().join(" ");
        assert_eq!(words.matches("virtio-scsi-pci").count(), 1, "{words}");
        assert!(words.contains("-device scsi-hd,bus=scsi0.0,drive=drive0"), "{words}");
        assert!(words.contains("format=raw,if=none,id=cdrom0,media=cdrom"), "{words}");
    }
}
