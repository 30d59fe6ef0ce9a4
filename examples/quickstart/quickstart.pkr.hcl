# A web server, baked into a disk image: `./bake` beside this file does it all.

variable "base_disk" {
  type        = string
  description = "Path or URL of a disk image that has cloud-init: bake makes one, Debian's own genericcloud images work too."
}

variable "base_checksum" {
  type        = string
  description = "The base disk's checksum, or a file that lists it."
}

source "qemu" "web" {
  iso_url      = var.base_disk
  iso_checksum = var.base_checksum
  disk_image   = true
  disk_size    = "4G"

  memory   = 1024
  cpus     = 2
  headless = true

  # What cloud-init reads at the first boot: who may log in. The key is made for this build alone.
  cd_label = "cidata"
  cd_content = {
    "meta-data" = "instance-id: quickstart\n"
    "user-data" = <<-EOT
      #cloud-config
      ssh_authorized_keys:
        - {{ .SSHPublicKey }}
    EOT
  }

  ssh_username              = "debian"
  ssh_timeout               = "10m"
  ssh_clear_authorized_keys = true
  shutdown_command          = "sudo shutdown -P now"

  output_directory = "output"
  vm_name          = "web.qcow2"
}

build {
  sources = ["source.qemu.web"]

  provisioner "shell" {
    inline = [
      "cloud-init status --wait >/dev/null",
      "sudo apt-get update -qq",
      "sudo DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx",
    ]
  }

  provisioner "file" {
    source      = "${path.root}/index.html"
    destination = "/tmp/index.html"
  }

  provisioner "shell" {
    inline = [
      "sudo install -m 644 /tmp/index.html /var/www/html/index.html",
      "sudo systemctl enable --quiet nginx",
      # The next machine that boots from this image is another one.
      "sudo cloud-init clean --logs && sudo truncate -s 0 /etc/machine-id",
      "sudo apt-get clean",
    ]
  }
}
