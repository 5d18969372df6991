variable "state_bucket" {
  description = "Name of the bucket for the state."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.state_bucket))
    error_message = "state_bucket must have 3 to 63 small letters, digits and hyphens, and begin and end with a letter or digit."
  }
}

variable "lake_bucket" {
  description = "bucket_name of the pipeline that will be deployed."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.lake_bucket)) && var.lake_bucket != var.state_bucket
    error_message = "lake_bucket must be the name of another bucket than state_bucket."
  }
}

variable "name" {
  description = "The pipeline's variable `name`: the roles may touch what is called so, and nothing else."
  type        = string
  nullable    = false
  default     = "retail"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,29}$", var.name))
    error_message = "name must have 2 to 30 small letters, digits and hyphens, and begin with a letter."
  }
}

variable "region" {
  description = "AWS region of the pipeline."
  type        = string
  nullable    = false
  default     = "us-east-1"

  validation {
    condition     = can(regex("^[a-z]{2}-[a-z]+-[1-9]$", var.region)) && !startswith(var.region, "cn-")
    error_message = "region must be the code of an AWS region outside China and GovCloud, such as eu-central-1."
  }
}

variable "repository" {
  description = "owner/name on GitHub, whose workflows may deploy."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.repository))
    error_message = "repository must be owner/name, such as example/retail."
  }
}

variable "repository_ids" {
  description = "Ids of owner and repository as owner/name, which GitHub signs with the names since July 2026: `gh api repos/OWNER/NAME --jq '\"\\(.owner.id)/\\(.id)\"'`. Empty for an older repository."
  type        = string
  nullable    = false
  default     = ""

  validation {
    condition     = can(regex("^([0-9]+/[0-9]+)?$", var.repository_ids))
    error_message = "repository_ids must be two numbers, such as 123456/456789, or empty."
  }
}
