# Debian, installed as most templates do it: GRUB is typed at, the installer fetches its answers over HTTP
# and its packages from a mirror, and the machine is provisioned after its first boot.
variable "installer" {
  type = string
}

source "qemu" "debian" {
  iso_url          = var.installer
  iso_checksum     = "none"
  http_directory   = "http"
  vm_name          = "debian.qcow2"
  format           = "qcow2"
  disk_size        = "4G"
  memory           = 1024
  headless         = true
  boot_wait        = "20s"
  # What comes after `---` stays on the command line of the installed system. A busy host lets the kernel's
  # check of an emulated timer fail.
  boot_command = [
    "c<wait5>",
    "linux /boot/linux no_timer_check auto=true priority=critical hostname=installed domain=invalid",
    " url=http://{{ .HTTPIP }}:{{ .HTTPPort }}/preseed.cfg --- no_timer_check<enter><wait20>",
    "initrd /boot/initrd.gz<enter><wait20>",
    "boot<enter>",
  ]
  ssh_username     = "baker"
  ssh_password     = "s0mething-else"
  ssh_timeout      = "3h"
  shutdown_command = "echo s0mething-else | sudo -S poweroff"
  shutdown_timeout = "20m"
}

build {
  sources = ["qemu.debian"]

  provisioner "shell" {
    inline = [
      "echo s0mething-else | sudo -S sh -c 'echo baked on $(hostname) >/etc/baked'",
      "cat /etc/baked",
    ]
  }
}
