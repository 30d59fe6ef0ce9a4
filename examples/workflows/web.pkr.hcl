packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = "~> 1.3"
    }
  }
}

variable "region" {
  type    = string
  default = "us-east-1"
}

source "amazon-ebs" "web" {
  region        = var.region
  instance_type = "t3.small"
  ami_name      = "web-${formatdate("YYYYMMDDhhmmss", timestamp())}"
  ssh_username  = "admin"
  encrypt_boot  = true

  source_ami_filter {
    owners      = ["136693071363"] # Debian
    most_recent = true
    filters = {
      name                = "debian-13-amd64-*"
      virtualization-type = "hvm"
    }
  }
}

build {
  sources = ["source.amazon-ebs.web"]

  provisioner "shell" {
    name   = "nginx"
    inline = ["sudo apt-get update", "sudo apt-get install -y nginx-light"]
  }
}
