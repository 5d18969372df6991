# Once for an account, by an administrator: where the state is kept, and the two roles of deploy.yml. Its
# own state stays with whoever applied it; README.md one folder up has the commands.

terraform {
  required_version = ">= 1.10, < 2.0"

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
  region = var.region
}

data "aws_caller_identity" "here" {}

data "aws_partition" "here" {}
