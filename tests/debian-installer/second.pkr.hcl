# Boots the disk that `debian.pkr.hcl` has made, and says what is in it.
source "qemu" "second" {
  disk_image       = true
  iso_url          = "output-debian/debian.qcow2"
  iso_checksum     = "none"
  skip_resize_disk = true
  use_backing_file = true
  memory           = 1024
  headless         = true
  ssh_username     = "baker"
  ssh_password     = "s0mething-else"
  ssh_timeout      = "1h"
  shutdown_command = "echo s0mething-else | sudo -S poweroff"
  shutdown_timeout = "20m"
}

build {
  sources = ["qemu.second"]

  provisioner "shell" {
    inline = ["cat /etc/baked", "echo \"this is $(. /etc/os-release; echo $ID)\""]
  }
}
