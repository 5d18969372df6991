terraform {
  # Since 1.10 the state is locked in its own bucket.
  required_version = ">= 1.10, < 2.0"

  # Bucket and region come by -backend-config; README.md has the command.
  backend "s3" {
    key          = "retail-medallion/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # The last release of 5, and no other: no lock file is in git. The move to 6 is planned in
      # docs/aws.md.
      version = "5.100.0"
    }
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = var.allowed_account_ids

  default_tags {
    tags = merge({ project = var.name, managed_by = "terraform" }, var.tags)
  }
}

data "aws_caller_identity" "here" {}

data "aws_partition" "here" {}
